/*
 * Refresh tokens: one session, the user and a thief who has copied one of its tokens, and scripts/rotate.ts between them.
 * A token is its counter. Run it with `npm run model`.
 *
 * Claims: a token is never answered with a successor once a younger one was; presenting such a token ends the session.
 * What a failover loses, the session forgets: the claims begin again from the counter that is left.
 *
 * Switch: -DPLANT_GRANDPARENT, a grace for the one before the previous.
 */

#ifndef TOKENS
#define TOKENS 8
#endif
#ifndef LOSSES
#define LOSSES 2
#endif

byte counter = 1;
bit alive = 1, in_grace;
byte user = 1, thief;
byte newest;                /* ghost: the youngest token that was ever answered */
byte losses = LOSSES;

#define IS_CURRENT(token) ((token) == counter)
#ifdef PLANT_GRANDPARENT
#define IS_RETRY(token) (in_grace && ((token) + 1 == counter || (token) + 2 == counter))
#else
#define IS_RETRY(token) (in_grace && (token) + 1 == counter)
#endif
#define IS_NEWER(token) ((token) > counter)

inline present(holder, token) {
  if
  :: !alive -> printf("%d: ended\n", token)
  :: alive && (IS_CURRENT(token) || IS_NEWER(token)) ->
     counter = (token) + 1; in_grace = 1;
     printf("%d: rotated to %d\n", token, counter);
     assert((token) >= newest);
     newest = token; holder = counter
  :: alive && IS_RETRY(token) ->
     printf("%d: retried, %d again\n", token, counter);
     assert((token) >= newest);
     holder = counter
  :: alive && !IS_CURRENT(token) && !IS_NEWER(token) && !IS_RETRY(token) ->
     printf("%d: reused, the session ends\n", token);
     alive = 0
  fi;
  assert((token) >= newest || !alive)
}

active proctype User() {
  do
  :: d_step { counter < TOKENS -> present(user, user) }
  :: d_step { counter < TOKENS && user > 1 -> present(user, user - 1) }    /* a lost answer, another tab */
  od
}

active proctype Thief() {
  byte stolen;
  do
  :: d_step { stolen == 0 -> stolen = user }
  :: d_step { stolen > 0 && counter < TOKENS -> present(thief, stolen) }
  :: d_step { thief > 0 && counter < TOKENS -> present(thief, thief) }
  od
}

active proctype World() {
  do
  :: d_step { in_grace -> in_grace = 0; printf("the grace ends\n") }
  :: d_step {
       losses > 0 && counter > 1 ->
       losses--; counter--; in_grace = 0;
       newest = (newest > counter -> counter : newest);
       printf("FAULT: a failover forgets a rotation, the counter is %d\n", counter)
     }
  od
}

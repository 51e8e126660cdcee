/*
 * The protocol of kick-outs: one log, a writer, two servers that follow the log and write again what it loses, and what may
 * go wrong. Run it with `npm run model`; docs/model.md says what is claimed and which assumption stands where.
 *
 * There is no clock. What a server proves is dated by a set instead of a moment: `asked` is what the log owed when a round
 * was sent, so "complete as of its sending" reads "holds all of that". A time that the code waits for (epochSettleMs) ends
 * here when `CAN_SETTLE` lets it: when each server that runs has written again what it alone still holds.
 *
 * Switches: -DKICKS=n, -DFAULTS=n, -DLOOKUPS, -DQUORUM, one of -DPLANT_ARRIVAL, -DPLANT_FAIL_OPEN, and the kinds of faults:
 * -DLOSSES -DFAILOVERS -DTRIMS -DPAUSES -DCUTS -DCRASHES -DJUNK.
 */

#include "freshness.pml"

#ifndef KICKS
#define KICKS 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef LAST
#define LAST 7              /* positions of the log; an assertion says when they do not suffice */
#endif
#define GONE 99             /* the connection, or what the process remembers */
#define LIMIT 2             /* entries of one read */
#define JUNK_ENTRY 9
#define MASK(kick) (1 << ((kick) - 1))

/* The log. A position holds a kick-out from 1 on, junk, or nothing (0). */
byte log_epoch, log_seq, log_first = 1, log_top, log_length, log_replication = 1;
bit log_young, log_told;
byte log_kick[LAST + 1], log_number[LAST + 1];
#ifdef LOOKUPS
byte log_keys, old_keys;    /* kick-outs with a look-up key */
#endif
byte log_keys_now;          /* those whose key is of this epoch */
byte log_window;            /* kick-outs that the window holds: what `read_log` makes of the entries */
#ifdef JUNK
bit has_junk;
#endif
byte epochs;                /* how many were ever made */

/* A replica that lags behind: what a failover goes back to. */
bit has_replica;
byte old_epoch, old_seq, old_first, old_top, old_length, old_keys_now;
bit old_young, old_told;
byte old_kick[LAST + 1], old_number[LAST + 1];

/* Two servers: the state of src/revocation/freshness.ts, the denylist, and what is still to be written again. */
bit loaded[2], in_sight[2], absent[2], long_absent[2];
byte epoch[2] = NEVER, replication[2], seq[2], cursor[2], junk[2];
byte held[2], todo[2];
bit paused[2], has_missed[2];
#ifdef LOOKUPS
/* As a look-up knows the log: the life that it saw last, and whether it has seen it for long. */
byte life[2] = NEVER;
bit life_old[2], life_missed[2];
#endif

/* Ghosts, which decide nothing. */
byte owed;                  /* acknowledged, and not lost together with all who saw it */
byte asked[2];              /* what was owed when the round under way was sent */
bit saw_nothing[2];          /* what the last round was answered, whether that has arrived or not */
byte due;                   /* owed for longer than 800 ms */
#ifdef LIVE
bit fresh_again;            /* server 0 had a proof since it last sent a round */
#endif
byte faults = FAULTS;

#ifdef LIVE
#define NOTE_PROOF(is) fresh_again = (me == 0 -> is : fresh_again)
#else
#define NOTE_PROOF(is) skip
#endif

hidden byte i, n, in_log, was_in_window;

#define s_loaded loaded[me]
#define s_epoch epoch[me]
#define s_replication replication[me]
#define s_seq seq[me]
#define s_cursor cursor[me]
#define s_junk junk[me]
#define s_in_sight in_sight[me]

inline read_log() {
  log_window = 0; in_log = 0; n = 0;
  for (i : 1 .. LAST) {
    if
    :: log_kick[i] > 0 && log_kick[i] < JUNK_ENTRY ->
       in_log = in_log | MASK(log_kick[i]);
       if
       :: log_number[i] >= log_first -> log_window = log_window | MASK(log_kick[i])
       :: else
       fi;
       n = (log_number[i] > n -> log_number[i] : n)
    :: else
    fi
  };
  i = 0
}

/* What the log owes no more, nobody has to hold. */
inline owe(mask) {
  owed = owed & (mask);
  due = due & owed; asked[0] = asked[0] & owed; asked[1] = asked[1] & owed
}

/* scripts/prelude.ts: open_log */
inline open_log() {
  if
  :: log_epoch == ABSENT ->
     read_log();
     epochs++;
     log_epoch = epochs;
     log_seq = n; log_first = n + 1; log_young = 1; log_keys_now = 0; log_window = 0;
     /* Entries that are there are older than this life of the log: others may be writing lost ones again. */
#ifndef PLANT_REOPEN
     log_told = (n > 0 -> 1 : log_told)
#endif
  :: else
  fi;
  i = 0
}

/* scripts/open.ts, for a log that lost its head alone */
inline reopen_log() {
  if
#ifdef PLANT_REOPEN
  :: open_log()
#else
  :: log_length > 0 -> open_log()
  :: else
#endif
  fi;
  i = 0
}

/* scripts/prelude.ts: publish */
inline publish(kick) {
  log_seq++; log_top++; log_length++;
  assert(log_top <= LAST);
  log_kick[log_top] = kick; log_number[log_top] = log_seq;
#ifdef LOOKUPS
  log_keys = log_keys | MASK(kick);
#endif
  log_keys_now = log_keys_now | MASK(kick);
  log_window = log_window | MASK(kick);
  owed = owed | MASK(kick)
}

/* scripts/heartbeat.ts */
inline read_head() {
  h_epoch = log_epoch; h_seq = log_seq; h_first = log_first; h_told = log_told; h_young = log_young;
  h_length = log_length; h_newest = 0;
  for (i : 1 .. LAST) { h_newest = (log_kick[i] > 0 -> i : h_newest) };
  i = 0
}

inline forget_head() {
  h_epoch = 0; h_seq = 0; h_first = 0; h_length = 0; h_newest = 0; h_told = 0; h_young = 0
}

inline forget_answers() {
  forget_head();
  e_count = 0; e_last = 0; e_end = 0; e_junk = 0; e_contiguous = 0; e_has_newest = 0; e_kicks = 0;
  l_first = 0; l_last = 0; l_contiguous = 0; l_end = 0; l_junk = 0; l_seen = 0;
  r_junk_gone = 0; s_long_absent = 0; out = 0;
  asked[me] = 0
}

/* Entries behind the cursor, at most LIMIT, as readNumbers sees them. */
inline read_entries() {
  e_count = 0; e_last = 0; e_end = 0; e_junk = 0; e_contiguous = 1; e_has_newest = 0; e_kicks = 0;
  n = (BOTH_ABSENT -> 0 : s_seq);
  for (i : 1 .. LAST) {
    if
    :: i > s_cursor && log_kick[i] > 0 && e_count < LIMIT ->
       e_count++; e_end = i;
       e_has_newest = e_has_newest | (i == h_newest);
       if
       :: log_kick[i] == JUNK_ENTRY -> e_junk = i
       :: else ->
          if
          :: (n > 0 || !BOTH_ABSENT) && log_number[i] != n + 1 -> e_contiguous = 0
          :: else
          fi;
          n = log_number[i]; e_last = n;
          e_kicks = e_kicks | MASK(log_kick[i])
       fi
    :: else
    fi
  };
  i = 0
}

/* The next chunk of a load, applied to the denylist as it comes; addChunk. */
inline read_chunk() {
  e_count = 0;
  for (i : 1 .. LAST) {
    if
    :: i > l_end && log_kick[i] > 0 && e_count < LIMIT ->
       e_count++; l_end = i;
       if
       :: log_kick[i] == JUNK_ENTRY -> l_junk = i
       :: else ->
          held[me] = held[me] | MASK(log_kick[i]);
          if
          :: log_number[i] >= h_first ->
             l_seen = l_seen | MASK(log_kick[i]);
             if
             :: l_first == 0 -> l_first = log_number[i]
             :: else
             fi;
             if
             :: l_last > 0 && log_number[i] != l_last + 1 -> l_contiguous = 0
             :: else
             fi;
             l_last = log_number[i]
          :: else
          fi
       fi
    :: else
    fi
  };
  i = 0
}

/* scripts/renew-epoch.ts */
inline renew_epoch(hole_seen) {
  if
  :: log_epoch == s_epoch && log_epoch != ABSENT ->
     h_length = 0; n = 0;
     for (i : 1 .. LAST) {
       if
       :: log_kick[i] > 0 ->
          n = (h_length == 0 && log_kick[i] < JUNK_ENTRY -> log_number[i] : n);
          h_length++
       :: else
       fi
     }
     if
     :: !(hole_seen) && (log_seq < log_first || (n > 0 && n <= log_first && h_length >= log_seq - log_first + 1))
     :: else ->
        epochs++;
        log_epoch = epochs; log_young = 1; log_told = 1; log_first = log_seq + 1; log_keys_now = 0; log_window = 0
     fi
  :: else
  fi;
  i = 0
}

#ifdef LOOKUPS
/* redis/kick-outs/look-up.ts: noteEpoch */
#ifdef PLANT_FIRST_SEEN
#define FIRST_SEEN_OLD true
#else
#define FIRST_SEEN_OLD (!log_young)
#endif
inline note_life(server, seen) {
#ifdef PLANT_ABSENCE
  life_missed[server] = 0;
#endif
  /* A log that was seen absent, and then not looked at for long, may have been opened and lost in between. */
  life_old[server] = (life_missed[server] && life[server] == ABSENT -> 0 : life_old[server]);
  life_missed[server] = 0;
  if
  :: life[server] == (seen)
  :: else ->
     life_old[server] = ((seen) != ABSENT && (life[server] == NEVER -> FIRST_SEEN_OLD : (life[server] == ABSENT && life_old[server])) -> 1 : 0);
     life[server] = seen
  fi
}
#else
#define note_life(server, seen) skip
#endif

inline crash() {
  loaded[me] = 0; in_sight[me] = 0; absent[me] = 0; long_absent[me] = 0; has_missed[me] = 0; saw_nothing[me] = 0;
  epoch[me] = NEVER; replication[me] = 0; seq[me] = 0; cursor[me] = 0; junk[me] = 0;
  held[me] = 0; todo[me] = 0;
#ifdef LOOKUPS
  life[me] = NEVER; life_old[me] = 0; life_missed[me] = 0;
#endif
  has_brought = 0;
  forget_answers();
  read_log(); owe(in_log | held[0] | held[1])
}

#ifdef CUTS
#define MAY_CUT faults > 0 -> faults--; forget_answers()
#else
#define MAY_CUT false
#endif
#ifdef CRASHES
#define MAY_CRASH faults > 0 -> faults--; crash()
#else
#define MAY_CRASH false
#endif
/* Two looks at an absent log lie up to 800 ms apart; what is younger is not due yet. */
#define WHAT_COUNTS ((h_epoch == ABSENT || (NOTED_IN_SIGHT && h_young)) -> owed & due : owed)
#define IS_NOTHING (h_epoch == ABSENT && h_length == 0)
#define IS_CONNECTED (!paused[me] && log_replication == c_replication)
#define IS_CUT_OFF (!paused[me] && log_replication != c_replication)

#define VARIABLES \
  byte h_epoch, h_seq, h_first, h_length, h_newest, e_count, e_last, e_end, e_junk, e_kicks; \
  byte l_first, l_last, l_end, l_junk, l_seen, c_replication, out; \
  bit h_told, h_young, e_contiguous, e_has_newest, l_contiguous, r_junk_gone, s_long_absent, has_brought

inline meet() {
  forget_answers();
  c_replication = log_replication; has_brought = 0;
  read_head()
}

inline judge_connection() {
  out = CONNECTED; s_replication = c_replication; forget_head();
  printf("server %d: connected, then %d\n", me, out)
}

inline send_round() {
  out = 0; NOTE_PROOF(0);
  /* noteAbsence: an absence that was not looked at for long begins anew. */
  absent[me] = (has_missed[me] -> 0 : absent[me]);
  long_absent[me] = (has_missed[me] -> 0 : long_absent[me]);
  has_missed[me] = 0;
  s_long_absent = long_absent[me];
  read_head();
  saw_nothing[me] = saw_nothing[me] || IS_NOTHING;
  asked[me] = WHAT_COUNTS; printf("server %d: sends a round, owed are %d\n", me, asked[me]);
  r_junk_gone = (s_junk > 0 && log_kick[s_junk] != JUNK_ENTRY)
}

inline apply() { held[me] = held[me] | e_kicks; todo[me] = todo[me] & ~e_kicks }

inline advance() { s_seq = NEXT_SEQ; s_junk = NEXT_JUNK; s_cursor = NEXT_CURSOR }

inline judge_round() {
#ifdef PLANT_ARRIVAL
  asked[me] = WHAT_COUNTS;
#endif
  apply();
  if
  :: h_epoch == ABSENT && h_length > 0 -> reopen_log()
  :: else
  fi;
  out = ROUND;
  n = NOTED_IN_SIGHT;
  saw_nothing[me] = IS_NOTHING;
  absent[me] = NOTED_ABSENT;
  long_absent[me] = long_absent[me] && NOTED_ABSENT;
#ifdef ENTRIES_ALONE
  has_brought = (e_count > 0 && s_junk == 0);
#endif
  if
  :: (BOTH_ABSENT && !WAS_LOST_UNSEEN) ||
     (!BOTH_ABSENT && !ANOTHER_EPOCH && !REGRESSED && !WINDOW_BROKEN && !r_junk_gone && e_contiguous) -> advance()
  :: else
  fi;
  s_in_sight = n;
  if
  :: out == PROOF ->
     NOTE_PROOF(1);
     printf("server %d: PROOF, holds %d, epoch %d\n", me, held[me], s_epoch);
     assert((asked[me] & ~held[me]) == 0)
  :: else
  fi;
  note_life(me, s_epoch);
  n = out; forget_answers(); out = n
}

inline judge_entries() {
  has_brought = 0; h_epoch = NEVER;
  read_entries();
  apply();
  out = ENTRIES;
  if
  :: out == FOLLOW -> advance()
  :: else
  fi;
  n = out; forget_answers(); out = n
}

inline begin_load() { forget_answers(); read_head(); l_contiguous = 1 }

inline judge_load() {
  out = LOADED;
  s_seq = LOADED_SEQ; s_epoch = h_epoch; s_cursor = l_end; s_junk = l_junk;
  if
  :: out == FOLLOW ->
     s_loaded = 1; todo[me] = held[me] & ~l_seen;
     printf("server %d: loaded epoch %d to number %d\n", me, s_epoch, s_seq);
     note_life(me, s_epoch)
  :: else
  fi;
  n = out; forget_answers(); out = n
}

/* redis/kick-outs/follow.ts, step by step: each answer has a moment when the store gives it, and one when it arrives. */
proctype Server(byte me) {
  VARIABLES;

connect:
  if
  :: d_step { !paused[me] -> meet() }
  :: d_step { !paused[me] && absent[me] && !has_missed[me] -> has_missed[me] = 1; meet() } /* after a while */
  fi;
  if
  :: d_step { !paused[me] -> judge_connection() }
  :: d_step { MAY_CUT; out = GONE; printf("FAULT: server %d is cut off\n", me) }
  :: d_step { MAY_CRASH; out = GONE; printf("FAULT: server %d crashes\n", me) }
  fi;
  if
  :: out == FOLLOW -> goto follow
  :: out == GONE -> goto connect
  :: else -> goto load
  fi;

follow:
  if
  :: IS_CUT_OFF -> goto connect
  :: d_step { IS_CONNECTED -> send_round() }
#ifdef ENTRIES_ALONE
  :: d_step { IS_CONNECTED && has_brought -> judge_entries() };
     if
     :: out == FOLLOW -> goto follow
     :: else -> goto load
     fi
#endif
  fi;
  if
  :: log_replication != c_replication -> goto connect
  :: d_step { log_replication == c_replication -> read_entries() }
  fi;
  if
  :: d_step { !paused[me] -> judge_round() }
  :: d_step { MAY_CUT; out = GONE; printf("FAULT: server %d is cut off\n", me) }
  :: d_step { MAY_CRASH; out = GONE; printf("FAULT: server %d crashes\n", me) }
  fi;
  if
  :: out == FOLLOW || out == PROOF -> goto follow
  :: out == GONE -> goto connect
  :: out == RENEW_WINDOW -> goto renew
  :: else -> goto load
  fi;

load:
  if
  :: IS_CUT_OFF -> goto connect
  :: d_step { IS_CONNECTED -> begin_load() }
  fi;
chunk:
  if
  :: IS_CUT_OFF -> goto connect
  :: d_step { IS_CONNECTED -> read_chunk() }
  fi;
  if
  :: e_count == LIMIT -> goto chunk
  :: d_step { e_count < LIMIT -> judge_load() }
  fi;
  if
  :: out == FOLLOW -> goto follow
  :: else -> goto renew
  fi;

renew:
  if
  :: IS_CUT_OFF -> goto connect
  :: d_step { IS_CONNECTED -> renew_epoch(out == RENEW_SEQUENCE); h_length = 0 }; goto load
  fi
}

/* The other server does the same with answers that arrive at once. It may be paused in between. */
proctype Peer(byte me) {
  VARIABLES;
  out = GONE;

  do
  :: d_step { (IS_CUT_OFF || (!paused[me] && out == GONE)) -> meet(); judge_connection() }
  :: d_step { IS_CONNECTED && (out == FOLLOW || out == PROOF) -> send_round(); read_entries(); judge_round() }
  :: d_step {
       IS_CONNECTED && out != GONE && out != FOLLOW && out != PROOF ->
       if
       :: out == RENEW_WINDOW || out == RENEW_SEQUENCE -> renew_epoch(out == RENEW_SEQUENCE)
       :: else
       fi;
       begin_load();
       read_chunk();
       do
       :: e_count == LIMIT -> read_chunk()
       :: else -> break
       od;
       judge_load()
     }
  :: d_step { MAY_CRASH; out = GONE; printf("FAULT: server %d crashes\n", me) }
  od
}

/* revocation/republisher.ts, scripts/republish.ts */
proctype Rewriter(byte me) {
  byte kick;
  do
  :: d_step {
       !paused[me] && todo[me] != 0 ->
       kick = ((todo[me] & 1) -> 1 : ((todo[me] & 2) -> 2 : 3));
       todo[me] = todo[me] & ~MASK(kick);
       open_log();
       if
       :: (log_keys_now & MASK(kick)) == 0 -> log_young = 1; log_told = 1; publish(kick); printf("server %d: writes kick-out %d again, number %d, epoch %d\n", me, kick, log_seq, log_epoch)
       :: else
       fi;
       kick = 0
     }
  od
}

/* scripts/kick-out.ts. The acknowledgement comes with the write; one that comes later owes no more. */
proctype Writer() {
  byte kick = 1;
  do
  :: d_step { kick <= KICKS -> open_log(); publish(kick); printf("writer: kick-out %d acknowledged, number %d, epoch %d\n", kick, log_seq, log_epoch); kick++ }
  :: kick > KICKS -> break
  od
}

/* What lasts. A server that runs has written again what it alone holds before 800 ms are over: the assumption of the code. */
#define HAS_TOLD(server) (paused[server] || (held[server] & ~log_window) == 0)
/* Nor does a server that runs look away for so long: one that has seen the log absent sees that it is no more. */
#define HAS_LOOKED(server) (paused[server] || !saw_nothing[server] || has_missed[server] || (log_epoch == ABSENT && log_length == 0))
#define CAN_SETTLE (HAS_TOLD(0) && HAS_TOLD(1) && HAS_LOOKED(0) && HAS_LOOKED(1))

inline settle() {
  read_log(); owe(in_log);
#ifdef LOOKUPS
  life_missed[0] = 1; life_missed[1] = 1
#endif
}

inline resume(server) {
#ifndef PLANT_ABSENCE
  has_missed[server] = 1;
#endif
  printf("server %d: runs again\n", server)
}

/* An absent log is looked at until it counts as absent for long. */
#define CAN_AGE(server) (life[server] != NEVER && !life_old[server] && (life[server] != ABSENT || (!life_missed[server] && log_epoch == ABSENT && log_length == 0)))

proctype Time() {
  do
  :: d_step { log_young && CAN_SETTLE -> log_young = 0; settle(); printf("time: the log is old\n") }
  :: d_step { absent[0] && !long_absent[0] && CAN_SETTLE -> long_absent[0] = 1; settle(); printf("time: server 0 has seen no log for long\n") }
  :: d_step { absent[1] && !long_absent[1] && CAN_SETTLE -> long_absent[1] = 1; settle(); printf("time: server 1 has seen no log for long\n") }
#ifdef LOOKUPS
  :: d_step { CAN_AGE(0) && CAN_SETTLE -> settle(); life_old[0] = 1; life_missed[0] = 0; printf("time: server 0 has seen this life of the log for long\n") }
  :: d_step { CAN_AGE(1) && CAN_SETTLE -> settle(); life_old[1] = 1; life_missed[1] = 0; printf("time: server 1 has seen this life of the log for long\n") }
#endif
  :: d_step { due != owed && CAN_SETTLE -> settle(); due = owed; printf("time: due %d\n", due) }
#ifdef JUNK
  :: d_step {
       has_junk ->
       has_junk = 0;
       for (i : 1 .. LAST) {
         if
         :: log_kick[i] == JUNK_ENTRY -> log_kick[i] = 0; log_length--
         :: else
         fi
       };
       printf("time: somebody removes what cannot be read\n")
     }
#endif
  :: d_step { paused[0] -> paused[0] = 0; resume(0) }
  :: d_step { paused[1] -> paused[1] = 0; resume(1) }
  od
}

/* An entry from before `log_first` is missed by nobody: until it is written again, its loss leaves no trace. */
inline take_entries_away(count) {
  was_in_window = log_window;
  n = 0;
  for (i : 1 .. LAST) {
    if
    :: log_kick[i] > 0 && n < count -> log_kick[i] = 0; log_number[i] = 0; log_length--; n++
    :: else
    fi
  }
  read_log(); owe(in_log | ((held[0] | held[1]) & was_in_window))
}

proctype Faults() {
  do
#ifdef LOSSES
  :: d_step {
       /* FLUSHALL, a restart without persistence */
       faults > 0 && log_epoch != ABSENT ->
       faults--;
       for (i : 1 .. LAST) { log_kick[i] = 0; log_number[i] = 0 }
       log_epoch = ABSENT; log_seq = 0; log_first = 1; log_length = 0; log_young = 0; log_told = 0;
#ifdef LOOKUPS
       log_keys = 0;
#endif
       log_keys_now = 0; log_window = 0;
       owe(held[0] | held[1]); printf("FAULT: the log loses everything\n")
     }
  :: d_step {
       /* DEL of the meta key */
       faults > 0 && log_epoch != ABSENT ->
       faults--;
       log_epoch = ABSENT; log_seq = 0; log_first = 1; log_young = 0; log_told = 0; log_keys_now = 0;
       read_log(); owe(in_log | held[0] | held[1]); printf("FAULT: the log loses its head\n")
     }
#endif
#ifdef TRIMS
  :: d_step { faults > 0 && log_length > 0 -> faults--; take_entries_away(1); printf("FAULT: the log loses its oldest entry\n") }
  :: d_step { faults > 0 && log_length > 0 -> faults--; take_entries_away(LAST); printf("FAULT: the log loses its entries\n") }
#endif
#ifdef FAILOVERS
  :: d_step {
       faults > 0 && !has_replica ->
       has_replica = 1;
       old_epoch = log_epoch; old_seq = log_seq; old_first = log_first; old_top = log_top; old_length = log_length;
#ifdef LOOKUPS
       old_keys = log_keys;
#endif
       old_keys_now = log_keys_now; old_young = log_young; old_told = log_told;
       for (i : 1 .. LAST) { old_kick[i] = log_kick[i]; old_number[i] = log_number[i] };
       i = 0
     }
  :: d_step {
       faults > 0 && has_replica ->
       faults--; has_replica = 0; log_replication++;
       log_epoch = old_epoch; log_seq = old_seq; log_first = old_first; log_top = old_top; log_length = old_length;
#ifdef LOOKUPS
       log_keys = old_keys; old_keys = 0;
#endif
       log_keys_now = old_keys_now; log_young = old_young; log_told = old_told;
       for (i : 1 .. LAST) {
         log_kick[i] = old_kick[i]; log_number[i] = old_number[i]; old_kick[i] = 0; old_number[i] = 0
       }
       old_epoch = 0; old_seq = 0; old_first = 0; old_top = 0; old_length = 0; old_keys_now = 0; old_young = 0; old_told = 0;
       /* What was acknowledged and lost without a trace is owed again when it was written again. */
       read_log(); owe(in_log); printf("FAULT: failover to a log of epoch %d, number %d\n", log_epoch, log_seq)
     }
#endif
#ifdef JUNK
  :: d_step {
       /* XADD by somebody else */
       faults > 0 && log_epoch != ABSENT ->
       faults--; log_top++; log_length++;
       assert(log_top <= LAST);
       log_kick[log_top] = JUNK_ENTRY; has_junk = 1; printf("FAULT: an entry that cannot be read\n")
     }
#endif
#ifdef PAUSES
  :: d_step { faults > 0 && !paused[0] -> faults--; paused[0] = 1; printf("FAULT: server 0 is paused\n") }
  :: d_step { faults > 0 && !paused[1] -> faults--; paused[1] = 1; printf("FAULT: server 1 is paused\n") }
#endif
  :: faults == 0 -> break
  od
}

#ifdef LOOKUPS
/*
 * redis/kick-outs/look-up.ts, for a token of each kick-out at server 0, whenever its copy does not keep it out. A look-up is
 * given up after 150 ms, so its answer is as old as the question.
 */
inline look_up(kick) {
  h_epoch = log_epoch;
  n = log_young && log_told;
  note_life(me, h_epoch);
  if
  :: (held[me] & MASK(kick)) || (log_keys & MASK(kick)) -> printf("server %d: 401 for kick-out %d\n", me, kick)
  :: !((held[me] & MASK(kick)) || (log_keys & MASK(kick))) && (n || !life_old[me]) ->
     printf("server %d: 503 for kick-out %d\n", me, kick)
  :: else ->
     printf("server %d: lets in kick-out %d, owed are %d, due %d\n", me, kick, owed, due);
     /* As with a copy: what is younger than 800 ms is not due where the log has just begun. */
     assert((((log_epoch == ABSENT || log_young) -> owed & due : owed) & MASK(kick)) == 0)
  fi;
  h_epoch = 0
}

proctype Lookup(byte me) {
  byte h_epoch;
  do
  :: d_step { !paused[me] -> look_up(1) }
#if KICKS > 1
  :: d_step { !paused[me] -> look_up(2) }
#endif
  :: d_step {
       faults > 0 && !paused[me] ->
       faults--; printf("FAULT: a look-up of server %d fails\n", me);
#ifdef PLANT_FAIL_OPEN
       printf("server %d: lets in kick-out 1, owed are %d\n", me, owed);
       assert((owed & MASK(1)) == 0)
#endif
     }
  od
}
#endif

init {
  atomic {
    if
    :: skip /* a new deployment */
    :: epochs = 1; log_epoch = 1
    fi;
#ifndef LOOKUPS
    run Server(0);
#endif
    run Peer(1);
    run Rewriter(0); run Rewriter(1);
    run Writer(); run Time(); run Faults();
#ifdef LOOKUPS
    run Lookup(0)
#endif
  }
}

#ifdef LIVE
ltl live { []<> fresh_again }
#endif

/*
 * The decisions of src/revocation/freshness.ts, one per line, in the order in which that file makes them.
 *
 * protocol.pml runs them; test/model/freshness-table.test.ts reads this text and compares each decision with the code, for
 * every combination of small numbers. So this file stays with what both languages read alike: #define without parameters,
 * conditional expressions, and the operators they share.
 *
 *   s_  the state of one server's copy       h_  the head of the log, as the round or the load read it
 *   e_  the entries that the round brought   l_  what a load amounts to
 *   c_  the primary that was connected to
 */

#define ABSENT 0        /* the epoch of a log that was never opened */
#define NEVER 15        /* the epoch of a copy that was never loaded */

/* Outcomes. */
#define FOLLOW 0
#define PROOF 1
#define LOAD_FIRST 2
#define LOAD_EPOCH 3
#define LOAD_FAILOVER 4
#define LOAD_REGRESSED 5
#define LOAD_SEQUENCE 6
#define LOAD_ENTRY 7
#define RENEW_SEQUENCE 8
#define RENEW_WINDOW 9

/* doubtAbout */
#define ANOTHER_EPOCH (h_epoch != s_epoch)
#define WHY_EPOCH ((s_epoch == ABSENT) -> LOAD_FIRST : LOAD_EPOCH)
#define REGRESSED (h_seq < s_seq)

/* isWindowBroken */
#define WINDOW_BROKEN (h_length < h_seq - h_first + 1)

/* readNumbers, advanced */
#define NEXT_SEQ ((e_last > 0) -> e_last : s_seq)
#define NEXT_JUNK ((e_junk > 0) -> e_junk : s_junk)
#define NEXT_CURSOR ((e_count > 0) -> e_end : s_cursor)

/* isNewestKnown */
#define NEWEST_KNOWN (h_newest == s_cursor || e_has_newest)

/* noteAbsence: what it makes of the state before the round is judged */
#define NOTED_IN_SIGHT ((h_epoch == ABSENT) -> 0 : ((h_epoch == s_epoch) -> s_in_sight : s_long_absent))
#define NOTED_ABSENT ((h_epoch == ABSENT && h_length == 0) -> 1 : 0)

/* isSettled */
#define SETTLED ((h_epoch == ABSENT) -> (h_length == 0 && s_long_absent) : ((NOTED_IN_SIGHT && !h_told) -> 1 : !h_young))

/* onConnected */
#define CONNECTED (!s_loaded -> LOAD_FIRST : ((c_replication != s_replication) -> LOAD_FAILOVER : (ANOTHER_EPOCH -> WHY_EPOCH : (REGRESSED -> LOAD_REGRESSED : FOLLOW))))

/* onLoaded */
#define WHOLE (h_seq < h_first || (l_first == h_first && l_last >= h_seq))
#define LOADED (!l_contiguous -> RENEW_SEQUENCE : (!WHOLE -> RENEW_WINDOW : FOLLOW))
#define LOADED_SEQ ((l_last > 0) -> l_last : h_seq)

/* onRound, from the last question to the first */
#define ROUND_END (SETTLED -> PROOF : FOLLOW)
#define ROUND_JUNK ((NEXT_JUNK > 0) -> FOLLOW : ROUND_END)
#define ROUND_NEWEST (!NEWEST_KNOWN -> LOAD_REGRESSED : ROUND_JUNK)
#define ROUND_MISSING ((h_seq > NEXT_SEQ) -> LOAD_SEQUENCE : ROUND_NEWEST)
#define ROUND_MORE ((e_count >= LIMIT) -> FOLLOW : ROUND_MISSING)
#define ROUND_NUMBERS (!e_contiguous -> LOAD_SEQUENCE : ROUND_MORE)
#define ROUND_ENTRY (r_junk_gone -> LOAD_ENTRY : ROUND_NUMBERS)
#define ROUND_WINDOW (WINDOW_BROKEN -> RENEW_WINDOW : ROUND_ENTRY)
#define ROUND_DOUBT (ANOTHER_EPOCH -> WHY_EPOCH : (REGRESSED -> LOAD_REGRESSED : ROUND_WINDOW))
#define BOTH_ABSENT (h_epoch == ABSENT && s_epoch == ABSENT)
#ifdef PLANT_LOST_UNSEEN
#define WAS_LOST_UNSEEN 0
#else
#define WAS_LOST_UNSEEN (s_cursor != 0 && h_length == 0)
#endif
#define ROUND_ABSENT (WAS_LOST_UNSEEN -> LOAD_EPOCH : ROUND_END)
#define ROUND (BOTH_ABSENT -> ROUND_ABSENT : ROUND_DOUBT)

/* onEntries */
#define ENTRIES (!e_contiguous -> LOAD_SEQUENCE : FOLLOW)

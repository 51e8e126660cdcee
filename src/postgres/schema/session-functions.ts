import { reuseReason, surplusReason } from '../../revocation/reasons.ts'

/**
 * The functions of sessions. A rotation takes the lock of its row in a statement of its own and decides in the next ones,
 * which see what was committed before the lock was taken. A lock in a `WITH` beside the `UPDATE` would not do: both would
 * see the snapshot of before.
 */
export const sessionFunctions = `
-- Whether the user, the client or everyone was kicked out since the session began. In PL/pgSQL, which keeps the plan for the
-- whole connection: a function in SQL that is not inlined would be planned again in every transaction.
CREATE OR REPLACE FUNCTION :s.is_over(s :s.sessions) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM :s.marks m WHERE m.issuer = s.issuer AND (
    m.level = 'subject' AND m.target = s.subject AND m.value > s.version
    OR m.level = 'client' AND m.target = s.client AND m.value >= s.started_at
    OR m.level = 'everyone' AND m.target = '' AND m.value >= s.started_at)
    AND m.target IN (s.subject, s.client, ''));
END $$;

CREATE OR REPLACE FUNCTION :s.start_session(p_retention bigint, p_session_id text, p_issuer text, p_subject text,
  p_client text, p_scopes text, p_details text, p_idle_ms bigint, p_absolute_ms bigint, p_max bigint, p_refuses boolean,
  OUT o_outcome text, OUT o_now bigint, OUT o_started_at bigint, OUT o_version bigint, OUT o_ended text)
LANGUAGE plpgsql AS $$
DECLARE v_live text[]; v_surplus bigint; v_retention bigint;
BEGIN
  PERFORM :s.prepare();
  PERFORM :s.open_log();
  v_retention := :s.largest_retention(p_retention);
  PERFORM pg_advisory_xact_lock_shared(:s.lock_key('marks', '', ''));
  -- Kick-outs of the user, and other logins, come before this or after it.
  PERFORM pg_advisory_xact_lock(:s.lock_key('subject', p_issuer, p_subject));
  o_now := :s.now_ms();
  o_ended := '[]';
  IF p_max > 0 THEN
    SELECT array_agg(x.session_id ORDER BY x.seen_at DESC, x.ordinal DESC) INTO v_live FROM :s.sessions x
      WHERE x.subject = p_subject AND x.issuer = p_issuer AND least(x.idle_until, x.ends_at) > o_now AND NOT :s.is_over(x);
    v_surplus := coalesce(cardinality(v_live), 0) + 1 - p_max;
    IF v_surplus > 0 THEN
      IF p_refuses THEN
        o_outcome := 'full';
        RETURN;
      END IF;
      v_live := v_live[cardinality(v_live) - v_surplus + 1 :];
      -- All rows are locked before the first kick-out locks the log: a refresh that has locked a row may be waiting for the log.
      PERFORM 1 FROM :s.sessions WHERE session_id = ANY (v_live) ORDER BY session_id FOR UPDATE;
      SELECT json_agg(json_build_object('session_id', x.id, 'kick_out_id', k.o_kick_out_id, 'at', k.o_at,
        'kept_until', k.o_kept_until)) INTO o_ended
      FROM unnest(v_live) AS x(id), LATERAL :s.kick_out(p_retention, gen_random_uuid()::text, p_issuer, 'session', x.id,
        '${surplusReason}', NULL, NULL, NULL, 0, 0) k;
    END IF;
  END IF;
  -- Later than every kick-out of before, which a primary whose clock was ahead may have dated.
  o_started_at := greatest(o_now,
    (SELECT max(value) + 1 FROM :s.marks WHERE issuer = p_issuer AND (level, target) IN (('everyone', ''), ('client', coalesce(p_client, '')))));
  o_version := greatest(o_now,
    (SELECT value FROM :s.marks WHERE issuer = p_issuer AND level = 'subject' AND target = p_subject));
  INSERT INTO :s.sessions (session_id, issuer, subject, client, scopes, details, started_at, seen_at, idle_until, ends_at,
    counter, rotated_at, version)
  VALUES (p_session_id, p_issuer, p_subject, p_client, p_scopes, p_details, o_started_at, o_now, o_now + p_idle_ms,
    o_now + p_absolute_ms, 0, o_now, o_version);
  DELETE FROM :s.sessions WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM :s.sessions WHERE ends_at < o_now - v_retention ORDER BY ends_at LIMIT 5 FOR UPDATE SKIP LOCKED));
  PERFORM :s.raise_retention(p_retention);
  o_outcome := 'started';
END $$;

-- Judges a refresh token by its counter: ended, client, reuse, expiry, scope, in this order, and moves the session on or ends
-- it. Repeating a rotation within the grace is a retry.
CREATE OR REPLACE FUNCTION :s.rotate(p_retention bigint, p_session_id text, p_counter bigint, p_names_client boolean,
  p_client text, p_scopes text[], p_grace_ms bigint, p_lost_answer_ms bigint, p_idle_ms bigint, p_kick_out_id text,
  OUT o_outcome text, OUT o_now bigint, OUT o_at bigint, OUT o_kept_until bigint, OUT o_session text) LANGUAGE plpgsql AS $$
DECLARE s :s.sessions; v_is_retry boolean; v_is_late boolean; v_ended boolean;
BEGIN
  PERFORM :s.prepare();
  PERFORM pg_advisory_xact_lock_shared(:s.lock_key('marks', '', ''));
  SELECT * INTO s FROM :s.sessions WHERE session_id = p_session_id FOR UPDATE;
  IF s.session_id IS NULL OR :s.is_over(s) THEN
    o_outcome := 'ended';
    RETURN;
  END IF;
  o_now := :s.now_ms();
  IF p_names_client AND p_client IS DISTINCT FROM s.client THEN
    o_outcome := 'client';
    RETURN;
  END IF;
  v_is_retry := p_counter = s.counter - 1 AND p_grace_ms > 0 AND o_now - s.rotated_at <= p_grace_ms;
  v_is_late := NOT v_is_retry AND p_counter = s.counter - 1 AND p_lost_answer_ms > 0
    AND o_now - s.rotated_at <= p_grace_ms + p_lost_answer_ms AND s.retried_late_at <> s.counter;
  v_is_retry := v_is_retry OR v_is_late;
  IF p_counter < s.counter AND NOT v_is_retry THEN
    SELECT k.o_at, k.o_kept_until INTO o_at, o_kept_until FROM :s.kick_out(p_retention, p_kick_out_id, s.issuer,
      'session', p_session_id, '${reuseReason}', NULL, NULL, NULL, 0, 0) k;
    o_outcome := 'reused';
    o_session := row_to_json(s)::text;
    RETURN;
  END IF;
  IF o_now >= least(s.idle_until, s.ends_at) THEN
    o_outcome := 'expired';
    RETURN;
  END IF;
  IF p_scopes IS NOT NULL AND NOT p_scopes <@ string_to_array(s.scopes, ' ') THEN
    o_outcome := 'scope';
    RETURN;
  END IF;
  o_outcome := CASE WHEN v_is_late THEN 'retried_late' WHEN v_is_retry THEN 'retried' WHEN p_counter > s.counter THEN 'fast_forwarded' ELSE 'rotated' END;
  UPDATE :s.sessions SET
    counter = CASE WHEN v_is_retry THEN counter ELSE p_counter + 1 END,
    rotated_at = CASE WHEN v_is_retry THEN rotated_at ELSE o_now END,
    retried_late_at = CASE WHEN v_is_late THEN counter ELSE retried_late_at END,
    seen_at = o_now, idle_until = o_now + p_idle_ms
    WHERE session_id = p_session_id RETURNING * INTO s;
  o_session := row_to_json(s)::text;
  -- The date of the access token: now, or when the session began where that was dated ahead.
  o_now := greatest(o_now, s.started_at);
END $$;

-- Puts a text into a field of a session, where the field holds what it is expected to. A kick-out comes before it, and
-- nothing changes, or after it, and ends the session.
CREATE OR REPLACE FUNCTION :s.amend_session(p_session_id text, p_is_step_up boolean, p_before text, p_after text,
  OUT o_outcome text, OUT o_now bigint, OUT o_session text) LANGUAGE plpgsql AS $$
DECLARE s :s.sessions;
BEGIN
  PERFORM :s.prepare();
  PERFORM pg_advisory_xact_lock_shared(:s.lock_key('marks', '', ''));
  SELECT * INTO s FROM :s.sessions WHERE session_id = p_session_id FOR UPDATE;
  IF s.session_id IS NULL OR :s.is_over(s) THEN
    o_outcome := 'ended';
    RETURN;
  END IF;
  o_now := :s.now_ms();
  IF o_now >= least(s.idle_until, s.ends_at) THEN
    o_outcome := 'expired';
    RETURN;
  END IF;
  IF p_before IS DISTINCT FROM (CASE WHEN p_is_step_up THEN s.step_up ELSE s.sealed END) THEN
    o_outcome := 'changed';
    RETURN;
  END IF;
  o_outcome := 'amended';
  UPDATE :s.sessions SET
    step_up = CASE WHEN p_is_step_up THEN p_after ELSE step_up END,
    sealed = CASE WHEN p_is_step_up THEN sealed ELSE p_after END
    WHERE session_id = p_session_id RETURNING * INTO s;
  o_session := row_to_json(s)::text;
  -- The date of the access token: now, or when the session began where that was dated ahead.
  o_now := greatest(o_now, s.started_at);
END $$;

-- One session, or those of a user: the last used first.
CREATE OR REPLACE FUNCTION :s.read_sessions(p_session_id text, p_issuer text, p_subject text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE v_now bigint := :s.now_ms();
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this server is a standby' USING ERRCODE = '25006';
  END IF;
  IF p_session_id IS NOT NULL THEN
    RETURN QUERY SELECT row_to_json(x)::text FROM :s.sessions x WHERE x.session_id = p_session_id AND NOT :s.is_over(x);
  ELSE
    RETURN QUERY SELECT row_to_json(x)::text FROM :s.sessions x
      WHERE x.subject = p_subject AND x.issuer = p_issuer AND least(x.idle_until, x.ends_at) > v_now AND NOT :s.is_over(x)
      ORDER BY x.seen_at DESC, x.ordinal DESC;
  END IF;
END $$;
`

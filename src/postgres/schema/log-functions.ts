import { expiryMarginMs } from '../../revocation/revocation.ts'

/** How long after the retention entries stay: clocks that disagree, and readers that lag. */
const marginMs = 120_000
/** How long a function waits for a row that another transaction holds. Then it fails, and the answer is 503. */
const lockTimeoutMs = 700
/** How far the clock of a process may be ahead of PostgreSQL's. */
const maxSkewMs = 60_000

/**
 * The functions that number, append to and read the log. Each call is one statement: nothing is left locked by a process
 * that stalls between two. Inside a function every statement sees what was committed before it, so what is read after a
 * lock was taken is what is true under the lock.
 *
 * Locks are taken in one order: marks, user, rows of sessions, one target, meta. So no two functions wait for each other.
 * A login that kicks out several sessions takes further targets after meta: it has locked their rows before, and a kick-out
 * of the same session waits for the row first.
 */
export const logFunctions = `
CREATE OR REPLACE FUNCTION :s.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- Refuses a standby, waits for no lock for long, and lets no commit be answered before it is on disk.
CREATE OR REPLACE FUNCTION :s.prepare() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this server is a standby' USING ERRCODE = '25006';
  END IF;
  PERFORM set_config('lock_timeout', '${lockTimeoutMs}', true);
  IF current_setting('synchronous_commit') IN ('off', 'local') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION :s.lock_key(p_level text, p_issuer text, p_target text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT hashtextextended(':c' || E'\\x1f' || p_level || E'\\x1f' || p_issuer || E'\\x1f' || p_target, 0)
$$;

-- Begins the head again where its row was lost. Numbers go on from those of the log: a number that was given twice would
-- make two different entries look the same.
CREATE OR REPLACE FUNCTION :s.open_log() RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_now bigint := :s.now_ms();
BEGIN
  IF EXISTS (SELECT 1 FROM :s.meta) THEN RETURN; END IF;
  INSERT INTO :s.meta (epoch, created_at, told_at, seq, first)
  SELECT gen_random_uuid()::text, v_now, v_now, coalesce(max(seq), 0), coalesce(max(seq), 0) + 1 FROM :s.log
  ON CONFLICT DO NOTHING;
END $$;

-- The largest retention that a process has given. Takes no lock.
CREATE OR REPLACE FUNCTION :s.largest_retention(p_retention bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN greatest(p_retention, (SELECT retention_ms FROM :s.meta));
END $$;

-- A raise counts for tokens issued after it: kick-outs of before were kept for less. While an earlier raise still concerns
-- living tokens, the smaller of the two values goes on to count. It locks meta, so it comes last.
CREATE OR REPLACE FUNCTION :s.raise_retention(p_retention bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_now bigint := :s.now_ms();
BEGIN
  IF EXISTS (SELECT 1 FROM :s.meta WHERE retention_ms >= p_retention) THEN RETURN; END IF;
  UPDATE :s.meta SET
    retention_before_ms = CASE WHEN retention_ms = 0 THEN 0
      WHEN raised_at > 0 AND v_now - raised_at < p_retention THEN least(retention_ms, retention_before_ms)
      ELSE retention_ms END,
    raised_at = CASE WHEN retention_ms = 0 THEN 0 ELSE v_now END,
    retention_ms = p_retention
  WHERE retention_ms < p_retention;
END $$;

-- Begins a new epoch of the log: every server that holds entries republishes those that are missing.
CREATE OR REPLACE FUNCTION :s.begin_epoch() RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_now bigint := :s.now_ms();
BEGIN
  UPDATE :s.meta SET epoch = gen_random_uuid()::text, created_at = v_now, told_at = v_now, first = seq + 1;
END $$;

CREATE OR REPLACE FUNCTION :s.on_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF coalesce(current_setting('kickout.trims', true), '') <> 'on' THEN PERFORM :s.begin_epoch(); END IF;
  RETURN NULL;
END $$;

-- Only append() may delete entries and look-up rows. Those that any other statement deletes were lost.
DROP TRIGGER IF EXISTS loss ON :s.log;
CREATE TRIGGER loss AFTER DELETE ON :s.log FOR EACH STATEMENT EXECUTE FUNCTION :s.on_loss();
DROP TRIGGER IF EXISTS loss_of_all ON :s.log;
CREATE TRIGGER loss_of_all AFTER TRUNCATE ON :s.log FOR EACH STATEMENT EXECUTE FUNCTION :s.on_loss();
DROP TRIGGER IF EXISTS loss ON :s.denied;
CREATE TRIGGER loss AFTER DELETE ON :s.denied FOR EACH STATEMENT EXECUTE FUNCTION :s.on_loss();
DROP TRIGGER IF EXISTS loss_of_all ON :s.denied;
CREATE TRIGGER loss_of_all AFTER TRUNCATE ON :s.denied FOR EACH STATEMENT EXECUTE FUNCTION :s.on_loss();

-- Deletes a few expired rows. append() calls it, so no job has to.
CREATE OR REPLACE FUNCTION :s.trim(p_retention bigint, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_to bigint;
BEGIN
  PERFORM set_config('kickout.trims', 'on', true);
  SELECT max(seq) INTO v_to FROM (SELECT seq, appended_at FROM :s.log ORDER BY seq LIMIT 10) oldest
    WHERE appended_at < p_now - p_retention * 9 / 8 - ${marginMs};
  IF v_to IS NOT NULL THEN
    DELETE FROM :s.log WHERE seq <= v_to;
    UPDATE :s.meta SET first = greatest(first, v_to + 1);
  END IF;
  DELETE FROM :s.denied WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM :s.denied WHERE kept_until < p_now - ${marginMs} ORDER BY kept_until LIMIT 10 FOR UPDATE SKIP LOCKED));
  DELETE FROM :s.marks WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM :s.marks WHERE kept_until < p_now ORDER BY kept_until LIMIT 10 FOR UPDATE SKIP LOCKED));
  PERFORM set_config('kickout.trims', 'off', true);
END $$;

-- Appends one revocation and leaves its row for look-ups. The row lock on meta lasts until the commit: no number is visible
-- before a lower one, which a sequence of PostgreSQL does not promise.
CREATE OR REPLACE FUNCTION :s.append(p_kick_out_id text, p_issuer text, p_level text, p_target text, p_at bigint,
  p_kept_until bigint, p_version bigint, p_reason text, p_author text, p_by text, p_retention bigint,
  OUT o_seq bigint, OUT o_epoch text) LANGUAGE plpgsql AS $$
DECLARE v_now bigint := :s.now_ms();
BEGIN
  UPDATE :s.meta SET seq = seq + 1 RETURNING seq, epoch INTO o_seq, o_epoch;
  IF NOT FOUND THEN
    PERFORM :s.open_log();
    UPDATE :s.meta SET seq = seq + 1 RETURNING seq, epoch INTO o_seq, o_epoch;
  END IF;
  PERFORM :s.raise_retention(p_retention);
  INSERT INTO :s.log (seq, appended_at, kick_out_id, issuer, level, target, at, kept_until, version, reason, author, written_by)
    VALUES (o_seq, v_now, p_kick_out_id, p_issuer, p_level, p_target, p_at, p_kept_until, p_version, p_reason, p_author, p_by);
  INSERT INTO :s.denied AS d (level, issuer, target, at, kept_until, version, reason, kick_out_id, epoch)
    VALUES (p_level, p_issuer, p_target, p_at, p_kept_until, p_version, p_reason, p_kick_out_id, o_epoch)
    ON CONFLICT (target, issuer, level) DO UPDATE SET
      at = greatest(d.at, excluded.at),
      reason = CASE WHEN d.at > excluded.at THEN d.reason ELSE excluded.reason END,
      version = greatest(d.version, excluded.version),
      kept_until = greatest(d.kept_until, excluded.kept_until),
      kick_out_id = excluded.kick_out_id,
      epoch = excluded.epoch;
  PERFORM :s.trim(p_retention, v_now);
  PERFORM pg_notify(':c', o_seq::text);
END $$;

-- A mark that outlasts the sessions that began before it. Never moves back.
CREATE OR REPLACE FUNCTION :s.raise_mark(p_level text, p_issuer text, p_target text, p_value bigint, p_kept_until bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :s.marks AS m (level, issuer, target, value, kept_until)
  VALUES (p_level, p_issuer, p_target, p_value, p_kept_until)
  ON CONFLICT (target, issuer, level) DO UPDATE SET
    value = greatest(m.value, excluded.value), kept_until = greatest(m.kept_until, excluded.kept_until);
END $$;

-- Kicks out at one level: raises the version of the user or ends the session, and appends the revocation. Safe to repeat:
-- versions and moments only rise. A token or session that is out for as long as it has to be is not written again.
CREATE OR REPLACE FUNCTION :s.kick_out(p_retention bigint, p_kick_out_id text, p_issuer text, p_level text, p_target text,
  p_reason text, p_author text, p_by text, p_given_at bigint, p_expires_at bigint, p_sent_at bigint,
  OUT o_kick_out_id text, OUT o_is_new boolean, OUT o_seq bigint, OUT o_epoch text, OUT o_at bigint,
  OUT o_now bigint, OUT o_kept_until bigint, OUT o_version bigint, OUT o_ended bigint) LANGUAGE plpgsql AS $$
DECLARE v_retention bigint; v_needed bigint; v_held :s.denied; v_youngest bigint;
BEGIN
  PERFORM :s.prepare();
  o_ended := 0;
  o_is_new := true;
  o_kick_out_id := p_kick_out_id;
  IF p_level IN ('client', 'everyone') THEN
    -- Refreshes and logins that are under way come before this, those that begin from here on see it.
    PERFORM pg_advisory_xact_lock(:s.lock_key('marks', '', ''));
  ELSIF p_level = 'session' THEN
    -- A session of that name that another issuer has is another session.
    DELETE FROM :s.sessions WHERE session_id = p_target AND issuer = p_issuer;
    GET DIAGNOSTICS o_ended = ROW_COUNT;
  END IF;
  PERFORM pg_advisory_xact_lock(:s.lock_key(p_level, p_issuer, p_target));
  -- Read under the lock: a login that has just raised it may have held the lock.
  v_retention := :s.largest_retention(p_retention);
  o_now := :s.now_ms();
  -- The clock of the writer may be ahead of this one, which may be behind: a token that an issuer has dated is covered. A
  -- clock that is further ahead is wrong.
  o_at := CASE WHEN p_given_at IS NOT NULL THEN least(p_given_at, o_now)
    WHEN p_sent_at - o_now <= ${maxSkewMs} THEN greatest(o_now, p_sent_at) ELSE o_now END;
  v_needed := o_now + v_retention;
  IF p_expires_at > o_now THEN v_needed := least(v_needed, p_expires_at + ${expiryMarginMs}); END IF;
  o_kept_until := v_needed;
  IF p_level = 'subject' THEN
    SELECT max(version) INTO v_youngest FROM :s.sessions WHERE subject = p_target AND issuer = p_issuer;
    SELECT value INTO o_version FROM :s.marks WHERE level = p_level AND issuer = p_issuer AND target = p_target;
    -- A session may have begun "ahead", by a clock that was set back since.
    o_version := CASE WHEN p_given_at IS NULL THEN greatest(o_version, o_at, v_youngest) + 1 ELSE greatest(o_version, o_at + 1) END;
    PERFORM :s.raise_mark(p_level, p_issuer, p_target, o_version, o_now + v_retention * 9 / 8 + ${marginMs});
    WITH gone AS (
      DELETE FROM :s.sessions WHERE subject = p_target AND issuer = p_issuer AND version < o_version
      RETURNING least(idle_until, ends_at) > o_now AS was_live
    ) SELECT count(*) FILTER (WHERE was_live) INTO o_ended FROM gone;
  ELSIF p_level IN ('client', 'everyone') THEN
    IF p_given_at IS NULL THEN
      -- Sessions begin, and tokens are refreshed, by a clock that may have been ahead of this one.
      SELECT greatest(max(started_at), max(seen_at)) INTO v_youngest FROM :s.sessions WHERE issuer = p_issuer;
      o_at := greatest(o_at, v_youngest);
    END IF;
    SELECT max(ends_at) INTO v_youngest FROM :s.sessions;
    PERFORM :s.raise_mark(p_level, p_issuer, p_target, o_at, greatest(o_now, v_youngest) + v_retention * 9 / 8 + ${marginMs});
  ELSE
    SELECT * INTO v_held FROM :s.denied WHERE level = p_level AND issuer = p_issuer AND target = p_target;
    SELECT seq, epoch INTO o_seq, o_epoch FROM :s.meta;
    IF v_held.epoch = o_epoch AND v_held.kept_until + 1000 >= v_needed THEN
      o_is_new := false;
      o_kick_out_id := v_held.kick_out_id;
      o_at := v_held.at;
      o_kept_until := v_held.kept_until;
      RETURN;
    END IF;
    -- Kept for longer than it has to be, so that one that is repeated for a while need not be written again.
    IF v_needed = o_now + v_retention THEN o_kept_until := o_now + v_retention * 9 / 8; END IF;
  END IF;
  SELECT a.o_seq, a.o_epoch INTO o_seq, o_epoch FROM :s.append(p_kick_out_id, p_issuer, p_level, p_target, o_at,
    o_kept_until, o_version, p_reason, p_author, p_by, v_retention) a;
END $$;

-- Writes a revocation that was lost and that a process still holds, with the moment and version that it had. Safe to repeat
-- and in any order. While this goes on, an empty read of the log proves nothing.
CREATE OR REPLACE FUNCTION :s.republish(p_retention bigint, p_kick_out_id text, p_issuer text, p_level text, p_target text,
  p_reason text, p_at bigint, p_remaining_ms bigint, p_version bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_now bigint; v_retention bigint; v_version bigint := p_version;
BEGIN
  PERFORM :s.prepare();
  PERFORM :s.open_log();
  IF p_level IN ('client', 'everyone') THEN PERFORM pg_advisory_xact_lock(:s.lock_key('marks', '', ''));
  ELSIF p_level = 'session' THEN DELETE FROM :s.sessions WHERE session_id = p_target AND issuer = p_issuer; END IF;
  PERFORM pg_advisory_xact_lock(:s.lock_key(p_level, p_issuer, p_target));
  v_retention := :s.largest_retention(p_retention);
  v_now := :s.now_ms();
  IF EXISTS (SELECT 1 FROM :s.denied d JOIN :s.meta m ON m.epoch = d.epoch
    WHERE d.level = p_level AND d.issuer = p_issuer AND d.target = p_target AND d.at >= p_at
      AND coalesce(d.version, 0) >= coalesce(p_version, 0) AND d.kept_until + 2000 >= v_now + p_remaining_ms)
  THEN RETURN false; END IF;
  IF p_level = 'subject' THEN
    v_version := greatest(coalesce(p_version, p_at),
      (SELECT value FROM :s.marks WHERE level = p_level AND issuer = p_issuer AND target = p_target));
    PERFORM :s.raise_mark(p_level, p_issuer, p_target, v_version, v_now + v_retention * 9 / 8 + ${marginMs});
    DELETE FROM :s.sessions WHERE subject = p_target AND issuer = p_issuer AND version < v_version;
  ELSIF p_level IN ('client', 'everyone') THEN
    PERFORM :s.raise_mark(p_level, p_issuer, p_target, p_at, v_now + v_retention * 9 / 8 + ${marginMs}
      + greatest((SELECT max(ends_at) FROM :s.sessions) - v_now, 0));
  END IF;
  PERFORM :s.append(p_kick_out_id, p_issuer, p_level, p_target, p_at, v_now + p_remaining_ms, v_version, p_reason,
    NULL, NULL, v_retention);
  UPDATE :s.meta SET created_at = v_now, told_at = v_now;
  RETURN true;
END $$;
`

/** The report of a server that has been silent for so long is deleted, in milliseconds. */
const forgottenAfterMs = 60_000

/** The functions by which servers read the log, look tokens up, and see one another. */
export const readingFunctions = `
-- The id of the primary and its history: a failover, or a restore, begins another timeline.
CREATE OR REPLACE FUNCTION :s.history_id() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this server is a standby' USING ERRCODE = '25006';
  END IF;
  RETURN (SELECT system_identifier::text FROM pg_control_system())
    || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8);
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_function THEN
  RETURN '';
END $$;

-- A resource server reports that it lives and how far it has read, and reads the head of the log and what is newer than its
-- cursor. The write, and its commit, are half of the proof of freshness: a primary that must not write any more fails here.
-- Head and entries are of one snapshot, taken after the report, so they prove completeness as of the sending.
CREATE OR REPLACE FUNCTION :s.read_round(p_retention bigint, p_server_id text, p_state text, p_staleness_ms bigint,
  p_seq bigint, p_epoch text, p_max_staleness_ms bigint, p_cursor bigint, p_limit bigint,
  OUT o_head text, OUT o_entries text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM :s.prepare();
  PERFORM :s.open_log();
  PERFORM :s.raise_retention(p_retention);
  IF p_server_id <> '' THEN
    INSERT INTO :s.servers AS s (server_id, said_at, state, staleness_ms, seq, max_staleness_ms, epoch)
    VALUES (p_server_id, :s.now_ms(), p_state, p_staleness_ms, p_seq, p_max_staleness_ms, p_epoch)
    ON CONFLICT (server_id) DO UPDATE SET said_at = excluded.said_at, state = excluded.state,
      staleness_ms = excluded.staleness_ms, seq = excluded.seq, max_staleness_ms = excluded.max_staleness_ms,
      epoch = excluded.epoch;
  ELSE
    PERFORM pg_logical_emit_message(true, 'express-kickout', '');
  END IF;
  SELECT json_build_object(
      'epoch', m.epoch, 'createdAt', m.created_at, 'toldAt', m.told_at, 'now', :s.now_ms(), 'seq', m.seq, 'first', m.first,
      -- The triggers notice what is deleted from the middle; both ends are looked at each time.
      'length', CASE WHEN EXISTS (SELECT 1 FROM :s.log WHERE seq = m.first) AND EXISTS (SELECT 1 FROM :s.log WHERE seq = m.seq)
        THEN greatest(m.seq - m.first + 1, 0) ELSE 0 END,
      'newest', coalesce((SELECT l.seq || '-' || l.kick_out_id FROM :s.log l ORDER BY l.seq DESC LIMIT 1), '0-0'),
      'retentionMs', m.retention_ms, 'raisedAt', m.raised_at, 'retentionBeforeMs', m.retention_before_ms)::text,
    (SELECT coalesce(json_agg(e ORDER BY e.seq), '[]') FROM (
      SELECT seq, kick_out_id, issuer, level, target, at, kept_until, version, reason, written_by
      FROM :s.log WHERE seq > p_cursor ORDER BY seq LIMIT p_limit) e)::text
    INTO o_head, o_entries FROM :s.meta m;
END $$;

-- Begins a new epoch because entries are missing from the window. Safe to repeat: it acts only while the epoch is still the
-- one that was found broken.
CREATE OR REPLACE FUNCTION :s.renew_epoch(p_broken_epoch text, p_hole_seen boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_meta :s.meta;
BEGIN
  PERFORM :s.prepare();
  SELECT * INTO v_meta FROM :s.meta FOR UPDATE;
  IF v_meta.epoch IS DISTINCT FROM p_broken_epoch THEN RETURN false; END IF;
  IF NOT p_hole_seen AND (SELECT count(*) FROM :s.log WHERE seq BETWEEN v_meta.first AND v_meta.seq) = v_meta.seq - v_meta.first + 1
  THEN RETURN false; END IF;
  PERFORM :s.begin_epoch();
  RETURN true;
END $$;

-- Looks one token up at every level. The message is a write without a row: a primary that cannot commit cannot answer.
CREATE OR REPLACE FUNCTION :s.look_up(p_issuer text, p_levels text[], p_targets text[],
  OUT o_epoch text, OUT o_seq bigint, OUT o_told_at bigint, OUT o_now bigint, OUT o_facts text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM :s.prepare();
  PERFORM :s.open_log();
  PERFORM pg_logical_emit_message(true, 'express-kickout', '');
  o_now := :s.now_ms();
  SELECT m.epoch, m.seq, m.told_at, (
      SELECT coalesce(json_agg(json_build_object('level', d.level, 'target', d.target, 'at', d.at, 'version', d.version,
        'reason', d.reason)), '[]')
      FROM unnest(p_levels, p_targets) AS asked (level, target)
      JOIN :s.denied d ON d.target = asked.target AND d.issuer = p_issuer AND d.level = asked.level
      WHERE d.kept_until > o_now)::text
    INTO o_epoch, o_seq, o_told_at, o_facts FROM :s.meta m;
END $$;

-- The servers that follow the log. The reports of those that have been silent for long are deleted.
CREATE OR REPLACE FUNCTION :s.read_servers() RETURNS SETOF :s.servers LANGUAGE plpgsql AS $$
DECLARE v_now bigint := :s.now_ms();
BEGIN
  PERFORM :s.prepare();
  DELETE FROM :s.servers WHERE said_at < v_now - greatest(${forgottenAfterMs}, max_staleness_ms);
  RETURN QUERY SELECT s.server_id, v_now - s.said_at, s.state, s.staleness_ms, s.seq, s.max_staleness_ms, s.epoch FROM :s.servers s;
END $$;

-- The newest kick-outs before one of them that fit a filter, none that is older than the retention. NULL where the one to
-- go on from is not known.
CREATE OR REPLACE FUNCTION :s.read_kick_outs(p_retention bigint, p_limit bigint, p_before text, p_by text, p_level text,
  p_target text, p_issuers text[], OUT o_rows text) LANGUAGE plpgsql AS $$
DECLARE v_before bigint; v_oldest bigint;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this server is a standby' USING ERRCODE = '25006';
  END IF;
  v_oldest := :s.now_ms() - greatest(p_retention, (SELECT retention_ms FROM :s.meta));
  IF p_before IS NOT NULL THEN
    SELECT seq INTO v_before FROM :s.log WHERE kick_out_id = p_before AND appended_at >= v_oldest;
    IF v_before IS NULL THEN
      o_rows := 'null';
      RETURN;
    END IF;
  END IF;
  SELECT coalesce(json_agg(e ORDER BY e.seq DESC), '[]')::text INTO o_rows FROM (
    SELECT seq, kick_out_id, issuer, level, target, at, kept_until, version, reason, written_by FROM :s.log
    WHERE (v_before IS NULL OR seq < v_before) AND appended_at >= v_oldest
      AND (p_by IS NULL OR p_by = '*' AND author IS NOT NULL OR author = p_by)
      AND (p_level IS NULL OR level = p_level) AND (p_target IS NULL OR target = p_target)
      AND (p_issuers IS NULL OR issuer = ANY (p_issuers))
    ORDER BY seq DESC LIMIT p_limit) e;
END $$;
`

/**
 * The tables. `:s` stands for the schema. Ids from outside are text with control characters escaped as in JSON, compared
 * byte by byte; moments are milliseconds since the epoch.
 *
 * A refresh changes no column that has an index, so it is a heap-only update: a session has the same size however often it
 * is refreshed.
 */
export const tables = `
-- One row: the head of the log. Its row lock numbers the entries, so that the order of commits is the order of numbers.
CREATE TABLE IF NOT EXISTS :s.meta (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch text NOT NULL,
  created_at bigint NOT NULL,
  told_at bigint NOT NULL DEFAULT 0,
  seq bigint NOT NULL DEFAULT 0,
  first bigint NOT NULL DEFAULT 1,
  retention_ms bigint NOT NULL DEFAULT 0,
  raised_at bigint NOT NULL DEFAULT 0,
  retention_before_ms bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS :s.log (
  seq bigint PRIMARY KEY,
  appended_at bigint NOT NULL,
  kick_out_id text NOT NULL,
  issuer text COLLATE "C" NOT NULL,
  level text NOT NULL CHECK (level IN ('token', 'session', 'subject', 'client', 'everyone')),
  target text COLLATE "C" NOT NULL,
  at bigint NOT NULL,
  kept_until bigint NOT NULL,
  version bigint,
  reason text,
  author text COLLATE "C",
  written_by text
);

-- What is kicked out, by what names it: for look-ups.
CREATE TABLE IF NOT EXISTS :s.denied (
  level text NOT NULL,
  issuer text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL,
  at bigint NOT NULL,
  kept_until bigint NOT NULL,
  version bigint,
  reason text,
  kick_out_id text NOT NULL,
  epoch text NOT NULL,
  PRIMARY KEY (target, issuer, level)
);
CREATE INDEX IF NOT EXISTS denied_kept_until ON :s.denied (kept_until);

-- What outlasts the sessions that a kick-out found: the version of a user, the moment of a client or of everyone.
CREATE TABLE IF NOT EXISTS :s.marks (
  level text NOT NULL,
  issuer text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL,
  value bigint NOT NULL,
  kept_until bigint NOT NULL,
  PRIMARY KEY (target, issuer, level)
);
CREATE INDEX IF NOT EXISTS marks_kept_until ON :s.marks (kept_until);

CREATE TABLE IF NOT EXISTS :s.sessions (
  session_id text COLLATE "C" PRIMARY KEY,
  ordinal bigint GENERATED ALWAYS AS IDENTITY,
  issuer text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  client text COLLATE "C",
  scopes text NOT NULL,
  details text NOT NULL,
  started_at bigint NOT NULL,
  seen_at bigint NOT NULL,
  idle_until bigint NOT NULL,
  ends_at bigint NOT NULL,
  counter bigint NOT NULL,
  rotated_at bigint NOT NULL,
  retried_late_at bigint NOT NULL DEFAULT -1,
  version bigint NOT NULL,
  sealed text,
  step_up text
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS sessions_of_user ON :s.sessions (subject, issuer);
CREATE INDEX IF NOT EXISTS sessions_started_at ON :s.sessions (issuer, started_at);
CREATE INDEX IF NOT EXISTS sessions_ends_at ON :s.sessions (ends_at);

-- The resource servers that follow the log, as they last reported themselves.
CREATE TABLE IF NOT EXISTS :s.servers (
  server_id text PRIMARY KEY,
  said_at bigint NOT NULL,
  state text NOT NULL,
  staleness_ms bigint NOT NULL,
  seq bigint NOT NULL,
  max_staleness_ms bigint NOT NULL,
  epoch text NOT NULL
) WITH (fillfactor = 50);
`

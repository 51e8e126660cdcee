/**
 * The sealed signing keys of issuers, and their functions. They lie in a schema of their own (`:k`), so that rights on all
 * tables of the other one, which resource servers have, are none on them.
 */
export const keyFunctions = `
CREATE SCHEMA IF NOT EXISTS ":c_keys";
CREATE TABLE IF NOT EXISTS :k.signing_keys (
  issuer text COLLATE "C" PRIMARY KEY,
  revision text NOT NULL,
  sealed text NOT NULL
);

-- One row, also where nothing is stored. A standby is refused: it may be behind.
CREATE OR REPLACE FUNCTION :s.read_signing_keys(p_issuer text, OUT o_revision text, OUT o_sealed text, OUT o_now bigint)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM :s.prepare();
  SELECT k.revision, k.sealed INTO o_revision, o_sealed FROM :k.signing_keys k WHERE k.issuer = p_issuer;
  o_revision := coalesce(o_revision, '');
  o_sealed := coalesce(o_sealed, '');
  o_now := :s.now_ms();
END
$$;

-- Writes where the revision is still the one that was read; of several that do so at once one does.
CREATE OR REPLACE FUNCTION :s.replace_signing_keys(p_issuer text, p_revision text, p_next_revision text, p_sealed text,
  OUT o_is_written boolean)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM :s.prepare();
  IF p_revision = '' THEN
    INSERT INTO :k.signing_keys (issuer, revision, sealed) VALUES (p_issuer, p_next_revision, p_sealed)
      ON CONFLICT (issuer) DO NOTHING;
  ELSE
    UPDATE :k.signing_keys k SET revision = p_next_revision, sealed = p_sealed
      WHERE k.issuer = p_issuer AND k.revision = p_revision;
  END IF;
  o_is_written := FOUND;
END
$$;
`

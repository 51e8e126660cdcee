import pg from 'pg'
import { providerOn } from './oidc-provider.mjs'

const tables = `
  CREATE TABLE IF NOT EXISTS oidc (
    kind text NOT NULL, id text NOT NULL, payload jsonb NOT NULL, grant_id text, consumed_at timestamptz,
    expires_at timestamptz, PRIMARY KEY (kind, id));
  CREATE INDEX IF NOT EXISTS oidc_grant ON oidc (grant_id)`

/** An adapter with the layout of those for SQL in oidc-provider's examples: a row per artefact, an index on its grant. */
function adapterOn(pool) {
  return class PostgresAdapter {
    constructor(kind) {
      this.kind = kind
    }

    async upsert(id, payload, expiresIn) {
      await pool.query(
        `INSERT INTO oidc (kind, id, payload, grant_id, expires_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5::float8))
         ON CONFLICT (kind, id) DO UPDATE SET payload = excluded.payload, grant_id = excluded.grant_id,
           expires_at = excluded.expires_at`,
        [this.kind, id, payload, payload.grantId, expiresIn],
      )
    }

    async find(id) {
      const { rows } = await pool.query(
        'SELECT payload, consumed_at FROM oidc WHERE kind = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > now())',
        [this.kind, id],
      )
      const [row] = rows
      return row && { ...row.payload, ...(row.consumed_at && { consumed: true }) }
    }

    async consume(id) {
      await pool.query('UPDATE oidc SET consumed_at = now() WHERE kind = $1 AND id = $2', [
        this.kind,
        id,
      ])
    }

    async destroy(id) {
      await pool.query('DELETE FROM oidc WHERE kind = $1 AND id = $2', [this.kind, id])
    }

    async revokeByGrantId(grantId) {
      await pool.query('DELETE FROM oidc WHERE grant_id = $1', [grantId])
    }
  }
}

export async function issuer({ databaseUrl, ...config }) {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 20 })
  await pool.query(tables)
  return providerOn(adapterOn(pool), config)
}

import { beforeEach, describe, expect, test } from '@jest/globals'
import { decodeProtectedHeader, exportJWK, generateKeyPair } from 'jose'
import {
  createIssuer,
  type Issuer,
  type IssuerEvent,
  memoryStore,
} from '../../../src/issuer/index.ts'
import { postgresKeyStore, type PostgresKeyStoreOptions } from '../../../src/postgres/index.ts'
import { keyStoreContract } from '../../contracts/key-store.contract.ts'
import { waitUntil } from '../../support/wait.ts'
import { usePostgres } from '../support/deployment.ts'

const postgres = usePostgres()
const encryptionKey = 'a secret of thirty-two bytes, for tests'
const rotation = { everyDays: false, publishAheadSeconds: 1 } as const

function start(schema: string, options: Partial<PostgresKeyStoreOptions> = {}) {
  const events: IssuerEvent[] = []
  const issuer: Issuer = createIssuer({
    issuer: 'https://login.example.com',
    audience: 'https://api.example.com',
    keyStore: postgresKeyStore(postgres.pool(), { encryptionKey, rotation, schema, ...options }),
    refreshTokenSecret: 's'.repeat(32),
    store: memoryStore(),
    onEvent: (event) => events.push(event),
  })
  postgres.defer(async () => issuer.close())
  const signs = async (): Promise<string> => {
    const { access_token: token } = await issuer.startSession({ subject: 'u1' })
    return decodeProtectedHeader(token).kid ?? ''
  }
  return { issuer, events, signs }
}

describe('what every key store promises', () => {
  let schema: string
  keyStoreContract(() => ({
    open() {
      const store = postgresKeyStore(postgres.pool(), { encryptionKey, schema })
      postgres.defer(async () => store.close())
      return store
    },
  }))
  // Each test on a schema of its own.
  beforeEach(async () => {
    schema = await postgres.schema()
  })
})

test('several issuers have one key, and rotate together', async () => {
  const schema = await postgres.schema()
  const all = [start(schema), start(schema), start(schema)]
  await Promise.all(all.map(async ({ issuer }) => issuer.ready()))
  const signing = await Promise.all(all.map(async ({ signs }) => signs()))
  expect(new Set(signing).size).toBe(1)
  const { kid, signsAt } = await all[0]!.issuer.rotateSigningKey()
  await waitUntil(() => Date.now() > signsAt + 50, { what: 'the time of the new key' })
  await Promise.all(
    all.map(async ({ signs }) => waitUntil(async () => (await signs()) === kid, { what: 'it' })),
  )
  const created = all.flatMap(({ events }) =>
    events.filter(({ type }) => type === 'signing_key.created'),
  )
  expect(created).toHaveLength(2)
})

test('the tables hold no private key', async () => {
  const schema = await postgres.schema()
  const { issuer } = start(schema)
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const given = await exportJWK(privateKey)
  await issuer.rotateSigningKey(given)
  const { rows } = await postgres
    .pool()
    .query<{ text: string }>(`SELECT k::text AS text FROM ${schema}_keys.signing_keys k`)
  expect(rows).toHaveLength(1)
  expect(rows[0]?.text).toMatch(/v1\.[\w-]+\./)
  expect(rows[0]?.text).not.toContain(given.d)
  expect(rows[0]?.text).not.toMatch(/"d"|kid/)
})

test('with another encryptionKey ready() rejects; a changed row is refused', async () => {
  const schema = await postgres.schema()
  await start(schema).issuer.ready()
  const wrong = start(schema, { encryptionKey: 'another secret of thirty-two bytes or so' })
  await expect(wrong.issuer.ready()).rejects.toThrow(/option "encryptionKey"/)
  await expect(wrong.signs()).rejects.toMatchObject({ status: 503, reason: 'signing' })
  await postgres
    .pool()
    .query(`UPDATE ${schema}_keys.signing_keys SET sealed = left(sealed, -6) || 'AAAAAA'`)
  await expect(start(schema).issuer.ready()).rejects.toThrow(/were changed/)
})

test('a role with all rights on the other schema can neither read nor replace signing keys', async () => {
  const schema = await postgres.schema()
  const { issuer } = start(schema)
  await issuer.ready()
  const admin = postgres.pool()
  const role = `api_${schema}`
  await admin.query(`CREATE ROLE ${role} LOGIN`)
  await admin.query(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`)
  await admin.query(`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${role}`)
  await admin.query(
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role}`,
  )
  const client = await admin.connect()
  try {
    await client.query(`SET ROLE ${role}`)
    for (const attempt of [
      `SELECT * FROM ${schema}_keys.signing_keys`,
      `UPDATE ${schema}_keys.signing_keys SET sealed = 'x'`,
      `DELETE FROM ${schema}_keys.signing_keys`,
      `SELECT * FROM ${schema}.read_signing_keys('https://login.example.com')`,
      `SELECT ${schema}.replace_signing_keys('https://login.example.com', '', 'r', 'x')`,
    ]) {
      await expect(client.query(attempt)).rejects.toMatchObject({ code: '42501' })
    }
    // What docs/signing-keys.md gives the role of the issuer suffices.
    await client.query('RESET ROLE')
    await client.query(`GRANT USAGE ON SCHEMA ${schema}_keys TO ${role}`)
    await client.query(`GRANT SELECT, INSERT, UPDATE ON ${schema}_keys.signing_keys TO ${role}`)
    await client.query(`SET ROLE ${role}`)
    const read = await client.query(`SELECT * FROM ${schema}.read_signing_keys('x')`)
    expect(read.rows).toMatchObject([{ o_revision: '', o_sealed: '' }])
    const written = `SELECT ${schema}.replace_signing_keys('x', '', 'r', 'sealed') AS done`
    expect((await client.query(written)).rows).toEqual([{ done: true }])
    await client.query('RESET ROLE')
  } finally {
    client.release(true)
    await admin.query(`DROP OWNED BY ${role}`)
    await admin.query(`DROP ROLE ${role}`)
  }
})

test('without its schema ready() names what to do', async () => {
  await expect(start('not_there').issuer.ready()).rejects.toThrow(/not_there/)
})

test('PostgreSQL away: known keys go on', async () => {
  const schema = await postgres.schema()
  const one = start(schema)
  await one.issuer.ready()
  const kid = await one.signs()
  await postgres.server.kill()
  try {
    await waitUntil(() => one.events.some(({ type }) => type === 'signing_keys.failed'), {
      what: 'the event',
      timeoutMs: 10_000,
    })
    expect(await one.signs()).toBe(kid)
  } finally {
    await postgres.server.restart()
  }
})

test.each<[string, unknown, RegExp]>([
  ['no options', undefined, /postgresKeyStore/],
  ['a short key', { encryptionKey: 'short' }, /32 bytes/],
  ['a bad schema', { encryptionKey, schema: 'a-b' }, /"schema"/],
  ['a misspelt option', { encryptionKey, schemas: 'a' }, /did you mean "schema"/],
])('%s: a TypeError', (_name, options, message) => {
  const pool = postgres.pool()
  const make = () => postgresKeyStore(pool, options as PostgresKeyStoreOptions)
  expect(make).toThrow(message)
  expect(make).toThrow(TypeError)
})

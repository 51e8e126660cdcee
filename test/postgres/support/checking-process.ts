import { Pool } from 'pg'
import { postgresRevocations } from '../../../src/postgres/index.ts'

/*
 * A resource server in a process of its own, as far as its revocations go: it answers by IPC whether a user's token is kicked
 * out. Arguments: the URL of the database, options as JSON.
 */

const [url = '', options = '{}'] = process.argv.slice(2)
const pool = new Pool({ connectionString: url })
pool.on('error', () => undefined)
const revocations = postgresRevocations(pool, JSON.parse(options) as object)
await revocations.ready()

process.on('message', ({ id, sub, iss }: { id: number; sub: string; iss: string }) => {
  const claims = { iss, aud: 'https://api.example.com', exp: 4e9, iat: 1000, sub }
  Promise.resolve()
    .then(() => revocations.check(claims))
    .then(
      ({ revoked }) => process.send?.({ id, answer: revoked ? 401 : 200 }),
      () => process.send?.({ id, answer: 503 }),
    )
})
process.on('disconnect', () => process.exit(0))
process.send?.({ id: 0, answer: 'ready' })

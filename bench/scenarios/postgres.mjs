import { setTimeout as sleep } from 'node:timers/promises'
import { launch } from '../processes/launch.mjs'
import { startOwnStore } from '../processes/store.mjs'
import { race } from '../load/race.mjs'
import { audience, issuer, makeKey, publishKeys, scope } from '../tokens.mjs'
import { latencyOn } from './latency.mjs'

/** Rates that leave a small machine room for three servers, two issuers, the database and the load. */
const rates = { kickOutsPerSecond: 20, requestsPerSecond: 200 }
const connections = 16
const weighedSessions = 10
const idleSeconds = 15

let subjects = 0
const newSubjects = (count) => Array.from({ length: count }, () => `user-${subjects++}`)

/** PostgreSQL against Redis, and against another issuer on the same PostgreSQL. */
export async function postgres(settings) {
  const { log } = settings
  const latency = {}
  for (const kind of ['redis', 'postgres']) {
    latency[kind] = await latencyOn(kind, { ...settings, ...rates })
    log(`latency on ${kind}`)
  }
  const boot = {}
  const idle = {}
  for (const kind of ['redis', 'postgres']) {
    idle[kind] = await idleStatements(kind)
    log(`idle on ${kind}`)
    boot[kind] = await bootSeconds(kind, settings.bootRevocations)
    log(`boot on ${kind}`)
  }
  return {
    rates,
    latency,
    idle,
    boot: { entries: settings.bootRevocations, ...boot },
    refresh: await raceIssuers(settings),
    rowBytes: await weighSessions(settings),
  }
}

function config() {
  const { privateJwk } = makeKey('ES256')
  return { issuer, audience, scope, privateJwk }
}

/** Refresh grants per second: ours on both stores, oidc-provider on PostgreSQL. */
async function raceIssuers(settings) {
  const stores = [await startOwnStore('postgres'), await startOwnStore('redis')]
  const [onPostgres, onRedis] = stores
  const generator = await launch('load/generator.mjs', {}, { pin: 'load' })
  const contender = (key, store, name = store.config.name) => ({
    name: key,
    file: 'issuers/serve.mjs',
    config: { ...config(), ...store.config, name },
  })
  try {
    return await race({
      ...settings,
      baseline: 'oidc-provider-postgres',
      contenders: [
        contender('kickout-postgres', onPostgres),
        contender('kickout', onRedis),
        contender('oidc-provider-postgres', onPostgres, 'oidc-provider-postgres'),
      ],
      async press({ port, path, form, ask }, seconds) {
        const refreshTokens = await ask('startSessions', newSubjects(connections))
        return generator.ask('refresh', { port, path, form, refreshTokens, seconds })
      },
    })
  } finally {
    await generator.stop()
    await Promise.all(stores.map(async (store) => store.stop()))
  }
}

/** The bytes of a session's row after one refresh and after many, once VACUUM has run. */
async function weighSessions({ rotations, log }) {
  const store = await startOwnStore('postgres')
  const generator = await launch('load/generator.mjs', {})
  const server = await launch('issuers/serve.mjs', { ...config(), ...store.config })
  const { port, path, form } = server
  const weigh = async () => {
    await store.postgres.ask('VACUUM kickout.sessions')
    const [row] = await store.postgres.ask(
      `SELECT avg(pg_column_size(s.*))::float8 AS row, pg_total_relation_size('kickout.sessions')::int AS relation
       FROM kickout.sessions s`,
    )
    return row
  }
  try {
    const first = await server.ask('startSessions', newSubjects(weighedSessions))
    const second = await generator.ask('refreshEach', {
      port,
      path,
      form,
      refreshTokens: first,
      times: 1,
    })
    const afterOne = await weigh()
    const rest = { refreshTokens: second, times: rotations - 1 }
    await generator.ask('refreshEach', { port, path, form, ...rest })
    log(`${rotations} refreshes of each session`)
    return { rotations, afterOne, afterMany: await weigh() }
  } finally {
    await generator.stop()
    await server.stop()
    await store.stop()
  }
}

/** Statements (PostgreSQL) or commands (Redis) per second of one idle server. */
async function idleStatements(kind) {
  const store = await startOwnStore(kind)
  const key = makeKey('ES256')
  const keys = await publishKeys([key])
  const shared = { issuer, audience, scope, jwksUri: keys.uri, ...store.config }
  const server = await launch('guards/serve.mjs', shared)
  try {
    await sleep(2000)
    const before = await countStatements(store)
    await sleep(idleSeconds * 1000)
    const after = await countStatements(store)
    return (after - before) / idleSeconds
  } finally {
    await server.stop()
    await store.stop()
    keys.close()
  }
}

async function countStatements({ redis, postgres }) {
  if (redis) {
    const client = redis.client()
    const stats = await client.info('commandstats')
    client.disconnect()
    // What scripts call counts for itself; what this process asks is INFO.
    const sent = ['evalsha', 'xread', 'xrange', 'ping']
    return sent.reduce(
      (sum, name) => sum + Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0),
      0,
    )
  }
  const [row] = await postgres.ask(
    'SELECT xact_commit + xact_rollback AS count FROM pg_stat_database WHERE datname = current_database()',
  )
  return Number(row.count)
}

/** How long a server that starts takes until it is live, with so many live kick-outs. */
async function bootSeconds(kind, entries) {
  const store = await startOwnStore(kind)
  try {
    await fill(store, entries)
    const replica = await launch('replica.mjs', store.config, { nodeArgs: ['--expose-gc'] })
    if (replica.entries !== entries) throw new Error(`the replica has ${replica.entries}`)
    await replica.stop()
    return replica.readyMs / 1000
  } finally {
    await store.stop()
  }
}

async function fill(store, entries) {
  if (store.postgres) {
    // As the issuer does, without a round trip for each. A transaction has room for some thousand advisory locks.
    for (let from = 1; from <= entries; from += 1000) {
      await store.postgres.ask(
        `SELECT count(kickout.kick_out(90000000, 'k' || i, '${issuer}', 'session', 'session-' || i, NULL, NULL, NULL, NULL, 0))
         FROM generate_series(${from}, ${Math.min(entries, from + 999)}) AS i`,
      )
    }
    return
  }
  const filler = await launch('issuers/serve.mjs', { ...config(), ...store.config })
  await filler.ask('kickOutAll', { from: 0, count: entries })
  await filler.stop()
}

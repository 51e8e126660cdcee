import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import express from 'express'
import { exportJWK } from 'jose'
import { createIssuer, generateSigningKey, type Issuer } from '../../../src/issuer/index.ts'
import { redisRevocations, redisStore } from '../../../src/redis/index.ts'
import { beginSettledLog } from '../../redis/support/deployment.ts'
import { PostgresServer } from '../../support/postgres-server.ts'
import type { RedisServer } from '../../support/redis-server.ts'
import { waitUntil } from '../../support/wait.ts'
import { runCommand } from './built-command.ts'
import type { FollowingServer } from './following-server.ts'
import { encryptionKey, issuerName, type Stage } from './stage.ts'

/** What a command finds, and the environment in which it runs. */
export interface Scene {
  readonly env: Readonly<Record<string, string>>
  readonly input?: string
}

export type Scenario = (stage: Stage) => Promise<Scene>

const redisPage = readFileSync(join(import.meta.dirname, '../../../docs/redis.md'), 'utf8')

/** The users that docs/redis.md recommends. */
async function makeUsers({ client }: RedisServer): Promise<void> {
  const [, block = ''] = /```redis\n([^]*?)```/.exec(redisPage) ?? []
  const admin = client()
  for (const line of block.trim().split('\n')) {
    const [command = '', ...args] = line.split(' ')
    await admin.call(command, ...args)
  }
}

/** The address of a Redis with one of these users. */
export function urlOf({ url }: RedisServer, user: 'kickout-api' | 'kickout-issuer'): string {
  return url.replace('//', `//${user}:secret@`)
}

async function listen(stage: Stage, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stage.closing({
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A Redis as it should be: it writes to disk, and its users have passwords. */
export async function soundRedis(stage: Stage): Promise<RedisServer> {
  const redis = await stage.redis('--appendonly', 'yes')
  await makeUsers(redis)
  return redis
}

/** An issuer over HTTP, with its sessions on Redis. */
export async function listeningIssuer(
  stage: Stage,
  redis: RedisServer,
): Promise<{ url: string; issuer: Issuer }> {
  const app = express()
  const url = await listen(stage, createServer(app))
  const issuer = stage.closing(
    createIssuer({
      issuer: url,
      audience: 'https://api.example.com',
      signingKeys: [await generateSigningKey()],
      refreshTokenSecret: 'a secret of thirty-two bytes or more, for tests only',
      store: redisStore(urlOf(redis, 'kickout-issuer')),
    }),
  )
  await issuer.ready()
  app.use(issuer.router)
  return { url, issuer }
}

/** An issuer whose key set is given, and nothing else. */
async function issuerWithKeys(stage: Stage, keys: object[]): Promise<string> {
  const app = express()
  const url = await listen(stage, createServer(app))
  app.get('/.well-known/oauth-authorization-server', (_req, res) => {
    res.json({ issuer: url, jwks_uri: `${url}/jwks` })
  })
  app.get('/jwks', (_req, res) => {
    res.json({ keys })
  })
  return url
}

async function weakKey(): Promise<object> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  return { ...(await exportJWK(publicKey)), kid: '2019-rsa', alg: 'RS256', use: 'sig' }
}

async function soundKey(): Promise<object> {
  const { d: _, ...publicKey } = await generateSigningKey()
  return { ...publicKey, kid: '2026-es' }
}

/** Begins the log as if that had been a minute ago. */
async function beginLog({ client }: RedisServer): Promise<void> {
  const admin = client()
  await beginSettledLog(admin, { prefix: 'kickout', partitions: 1 })
  await admin.hset('{kickout:0}:meta', { epoch: randomUUID(), retention_ms: '90000000' })
}

/** A Redis with a log and a server that follows, and then something that is wrong. */
function broken(
  spoil: (redis: RedisServer, stage: Stage) => Promise<Scene['env'] | undefined>,
): Scenario {
  return async (stage) => {
    const redis = await soundRedis(stage)
    await beginLog(redis)
    await stage.server('redis', urlOf(redis, 'kickout-api'))
    const env = await spoil(redis, stage)
    return { env: { KICKOUT_REDIS_URL: urlOf(redis, 'kickout-issuer'), ...env } }
  }
}

const asAdmin = ({ url }: RedisServer) => ({ KICKOUT_REDIS_URL: url })

/** What the doctor has to find, by name. */
export const faults = {
  evicting: broken(async (redis) => {
    await redis.client().config('SET', 'maxmemory-policy', 'allkeys-lru')
    return undefined
  }),
  'no-persistence': broken(async (redis) => {
    await redis.client().config('SET', 'appendonly', 'no')
    return asAdmin(redis)
  }),
  'open-to-anyone': broken(async (redis) => asAdmin(redis)),
  replica: broken(async (redis, stage) => {
    const replica = await stage.redis('--replicaof', `127.0.0.1 ${redis.port}`)
    const client = replica.client()
    await waitUntil(
      async () => (await client.info('replication')).includes('master_link_status:up'),
      {
        what: 'the replica',
        timeoutMs: 15_000,
      },
    )
    return asAdmin(replica)
  }),
  'wrong-rights': broken(async (redis) => {
    const admin = redis.client()
    await admin.call('ACL', 'SETUSER', 'kickout-api', '-xread', '%R~{kickout:*}:servers')
    await admin.call('ACL', 'SETUSER', 'kickout-api', 'resetkeys', '%R~{kickout:*}:*')
    return { KICKOUT_REDIS_URL: urlOf(redis, 'kickout-api') }
  }),
  'reading-user': broken(async (redis) => ({
    KICKOUT_REDIS_URL: urlOf(redis, 'kickout-api'),
  })),
  'skewed-clock': broken(async () => {
    // The clock of the machine that the command runs on, as the process sees it.
    const shift = 'const now = Date.now; Date.now = () => now() - 90_000'
    return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shift)}` }
  }),
  'other-partitions': broken(async (redis, stage) => {
    const prefix = 'shop'
    const writer = stage.closing(
      redisRevocations(redis.url, { prefix, partitions: 16, issuer: issuerName }),
    )
    await writer.kickOut({ subject: 'u1' }, { confirmTimeoutMs: 0 })
    return asAdmin(redis)
  }),
  'silent-server': broken(async (redis, stage) => {
    const server = await stage.server('redis', urlOf(redis, 'kickout-api'))
    server.signal('SIGSTOP')
    await silence(redis, server.serverId)
    return undefined
  }),
  'trimmed-log': broken(async (redis, stage) => {
    const writer = stage.closing(redisRevocations(redis.url, { issuer: issuerName }))
    await writer.kickOut({ subject: 'u1' })
    await writer.kickOut({ subject: 'u2' })
    await writer.close()
    const admin = redis.client()
    // No process that remembers is left to write them again.
    await admin.call('CLIENT', 'KILL', 'USER', 'kickout-api')
    await admin.call('ACL', 'SETUSER', 'kickout-api', 'off')
    await admin.del('{kickout:0}:stream')
    return undefined
  }),
  'weak-key': broken(async (_redis, stage) => ({
    ISSUER_BASE_URL: await issuerWithKeys(stage, [await weakKey(), await soundKey()]),
  })),
  'other-issuer': broken(async (_redis, stage) => ({
    ISSUER_BASE_URL: `${await issuerWithKeys(stage, [await soundKey()])}/`,
  })),
  unreachable: async () =>
    Promise.resolve({ env: { KICKOUT_REDIS_URL: 'redis://:secret@127.0.0.1:1' } }),
} as const satisfies Record<string, Scenario>

/** Waits until a server counts as silent. */
async function silence(redis: RedisServer, serverId: string): Promise<void> {
  const env = { KICKOUT_REDIS_URL: redis.url }
  await waitUntil(
    async () => {
      const report = await redis.client().hget('{kickout:0}:servers', serverId)
      return Date.now() - Number(report?.split(':')[0]) > 2500
    },
    { what: 'the server to be silent', timeoutMs: 15_000, everyMs: 100 },
  )
  await runCommand(['servers'], { env })
}

/** A log that has been there for a minute, with two servers that follow it. */
async function settled(stage: Stage): Promise<{ redis: RedisServer; servers: FollowingServer[] }> {
  const redis = await soundRedis(stage)
  await beginLog(redis)
  const start = async () =>
    stage.server('redis', urlOf(redis, 'kickout-api'), { maxStalenessMs: 60_000 })
  return { redis, servers: [await start(), await start()] }
}

async function emptyDatabase(stage: Stage): Promise<Scene> {
  const server = stage.closing(await PostgresServer.start())
  return { env: { KICKOUT_POSTGRES_URL: server.url } }
}

/** What works as it should, and commands to be tried on it. */
export const scenes = {
  sound: async (stage) => {
    const { redis } = await settled(stage)
    const { url } = await listeningIssuer(stage, redis)
    return {
      env: { KICKOUT_REDIS_URL: urlOf(redis, 'kickout-issuer'), ISSUER_BASE_URL: url },
    }
  },
  'two-servers': async (stage) => {
    const { redis } = await settled(stage)
    return { env: { KICKOUT_REDIS_URL: urlOf(redis, 'kickout-issuer') } }
  },
  'paused-server': async (stage) => {
    const { redis, servers } = await settled(stage)
    servers[1]?.signal('SIGSTOP')
    return { env: { KICKOUT_REDIS_URL: urlOf(redis, 'kickout-issuer') } }
  },
  history: async (stage) => {
    const { redis } = await settled(stage)
    const issuer = await stage.redisIssuer(urlOf(redis, 'kickout-issuer'))
    const { revocations } = issuer
    await revocations.kickOut({ subject: 'u7' }, { by: 'alice', reason: 'stolen laptop' })
    await revocations.kickOut({ client: 'old-app' }, { by: 'bob' })
    await issuer.startSession({ subject: 'u1', device: { name: 'Firefox on Linux' } })
    return { env: { KICKOUT_REDIS_URL: urlOf(redis, 'kickout-issuer') } }
  },
  'kicked-out-token': async (stage) => {
    const { redis } = await settled(stage)
    const { url, issuer } = await listeningIssuer(stage, redis)
    const { access_token: input } = await issuer.startSession({
      subject: 'u1',
      scope: 'reports:read',
    })
    await issuer.kickOut({ subject: 'u1' })
    return {
      env: {
        KICKOUT_REDIS_URL: urlOf(redis, 'kickout-issuer'),
        ISSUER_BASE_URL: url,
        AUDIENCE: 'https://api.example.com',
      },
      input,
    }
  },
  'key-store': async (stage) => {
    const { redis } = await settled(stage)
    await stage.storedKeysIssuer(redis.url)
    const env = { KICKOUT_REDIS_URL: redis.url, KICKOUT_ENCRYPTION_KEY: encryptionKey }
    return { env }
  },
  nothing: async () => Promise.resolve({ env: {} }),
  'empty-database': emptyDatabase,
  'no-schema': emptyDatabase,
} as const satisfies Record<string, Scenario>

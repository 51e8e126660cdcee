import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Redis, RedisOptions } from 'ioredis'
import { redisRevocations } from '../../src/redis/index.ts'
import { makeCertificates } from '../support/certificates.ts'
import { onFreePorts } from '../support/free-port.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import { waitUntil } from '../support/wait.ts'
import { claimsOf, failureOf, issuer, useCleanup } from './support/deployment.ts'
import { useServers } from './support/servers.ts'

/* 42: Redis with TLS, a password for Redis and another one for Sentinel, users of the access control list. */

const certificates = makeCertificates()
const { closing } = useCleanup()
const servers = useServers()
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kickout-tls-'))
  writeFileSync(join(folder, 'ca.pem'), certificates.authority)
  writeFileSync(join(folder, 'server.pem'), certificates.server.pem)
  writeFileSync(join(folder, 'server.key'), certificates.server.key)
})

afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** Opens a port for TLS on a server that runs, and one user; the default user needs a password from then on. */
async function secure(admin: Redis): Promise<number> {
  const file = (name: string): string => join(folder, name)
  await admin.call('CONFIG', 'SET', 'tls-ca-cert-file', file('ca.pem'), 'tls-cert-file', file('server.pem'), 'tls-key-file', file('server.key'), 'tls-auth-clients', 'no') // prettier-ignore
  const port = await onFreePorts(1, async (free) => {
    await admin.call('CONFIG', 'SET', 'tls-port', String(free))
    return free
  })
  await admin.acl('SETUSER', 'kickout', 'on', '>redis-password', '~kickout*', '~{kickout*', '&*', '+@all') // prettier-ignore
  return port
}

async function expectKickOut(source: Parameters<typeof redisRevocations>[0]): Promise<void> {
  const copying = closing(redisRevocations(source, { issuer }))
  const looking = closing(redisRevocations(source, { issuer, mode: 'lookup' }))
  await Promise.all([copying.ready(), looking.ready()])
  const writer = closing(redisRevocations(source, { issuer }))
  expect(await writer.kickOut({ subject: 'u1' })).toMatchObject({ servers: 1, confirmed: 1 })
  const out = claimsOf({ sub: 'u1' })
  expect(copying.check(out)).toMatchObject({ revoked: true })
  expect(await looking.check(out)).toMatchObject({ revoked: true })
  expect(await looking.check(claimsOf({ sub: 'u2' }))).toEqual({ revoked: false })
}

const tls = { ca: certificates.authority }

describe('42 TLS and a user with a password', () => {
  test('by options: copy, look-up and kick-out', async () => {
    const { admin } = await servers.start()
    const port = await secure(admin)
    await expectKickOut({ host: '127.0.0.1', port, tls, username: 'kickout', password: 'redis-password' }) // prettier-ignore
  })

  test('by a rediss: URL whose certificate no authority of this machine knows: the reason is named, and no password', async () => {
    const { admin } = await servers.start()
    const port = await secure(admin)
    const url = `rediss://kickout:redis-password@127.0.0.1:${port}`
    const looking = closing(redisRevocations(url, { issuer, mode: 'lookup' }))
    const failure = await failureOf(async () => looking.ready())
    expect(failure.message).toMatch(/certificate/)
    expect(failure.message).not.toContain('redis-password')
  })
})

test('42 Sentinel with a password of its own before Redis with TLS and a user', async () => {
  const deployment = closing(await startSentinel())
  const admin = deployment.primary.client()
  const port = await secure(admin)
  for (const sentinel of deployment.sentinels) {
    const client = deployment.client({ sentinels: null as never, host: sentinel.host, port: sentinel.port }) // prettier-ignore
    await client.call('ACL', 'SETUSER', 'watcher', 'on', '>sentinel-password', '+@all', 'allchannels') // prettier-ignore
    await client.call('ACL', 'SETUSER', 'default', 'resetpass')
    client.disconnect()
  }
  const options: RedisOptions = {
    sentinels: deployment.sentinels.map((sentinel) => ({
      host: sentinel.host,
      port: sentinel.port,
    })),
    name: deployment.name,
    sentinelUsername: 'watcher',
    sentinelPassword: 'sentinel-password',
    username: 'kickout',
    password: 'redis-password',
    enableTLSForSentinelMode: true,
    tls,
    // Sentinel knows the port without TLS.
    natMap: { [`127.0.0.1:${deployment.primary.port}`]: { host: '127.0.0.1', port } },
  }
  await expectKickOut(options)
  // Connections that are killed are made again with the same credentials.
  const server = closing(redisRevocations(options, { issuer, maxStalenessMs: 1_000 }))
  await server.ready()
  await admin.call('CLIENT', 'KILL', 'USER', 'kickout')
  const killedAt = performance.now()
  await waitUntil(() => server.status().stalenessMs < performance.now() - killedAt, {
    what: 'a new proof',
  })
  expect(server.check(claimsOf({ sub: 'u1' }))).toMatchObject({ revoked: true })
}, 60_000)

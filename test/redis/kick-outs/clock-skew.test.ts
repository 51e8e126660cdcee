import { expect, test } from '@jest/globals'
import { decodeJwt } from 'jose'
import type { AccessTokenClaims } from '../../../src/auth.ts'
import { redisStore } from '../../../src/redis/index.ts'
import { closeKitsAfterEach, createKit, type Kit } from '../../support/issuer-kit.ts'
import { type RedisServer, startRedis } from '../../support/redis-server.ts'
import { beginSettledLog, claimsOf, issuer } from '../support/deployment.ts'
import { waitUntil } from '../../support/wait.ts'
import { useServers } from '../support/servers.ts'
import { type Node, startNode, startReadyNode } from '../support/standing.ts'

/*
 * U9: the clock of Redis is behind or ahead, or is stepped while the servers run. libfaketime moves it; the clocks of the
 * processes here are right.
 */

const servers = useServers()
const { closing, template } = servers
closeKitsAfterEach()
const second = 1000
const minute = 60 * second
/** The library that moves the clock has to be loaded into Redis, which works on Linux. */
const skewTest = process.platform === 'linux' ? test : test.skip

async function startAhead(aheadMs: number, partitions = 1): Promise<RedisServer> {
  const server = closing(await startRedis({ aheadMs }))
  const client = server.client()
  await beginSettledLog(client, { prefix: 'kickout', partitions })
  for (let partition = 0; partition < partitions; partition++)
    await client.hset(`{kickout:${partition}}:meta`, 'created_at', '0')
  return server
}

async function startIssuer(server: RedisServer, partitions = 1): Promise<Kit> {
  const store = redisStore(template(server), { partitions })
  return createKit({ store, issuer: { issuer } })
}

async function refresh(
  kit: Kit,
  token: string,
): Promise<{ status: number; claims: AccessTokenClaims }> {
  const { status, json } = await kit.refresh(token)
  return { status, claims: claimsIn(json.access_token ?? unsigned) }
}

const unsigned = 'e30.e30.'

function claimsIn(accessToken: string): AccessTokenClaims {
  return decodeJwt<AccessTokenClaims>(accessToken)
}

async function isOut({ revocations }: Node, claims: AccessTokenClaims): Promise<boolean> {
  return (await revocations.check(claims)).revoked
}

/** A token of another issuer's kind: dated by a right clock, without a session. */
function tokenOfNow(claims: Partial<AccessTokenClaims>): AccessTokenClaims {
  const iat = Math.floor(Date.now() / second)
  return claimsOf({ sub: 'u1', iat, exp: iat + 600, ...claims })
}

skewTest(
  'U9 kick-outs of a Redis that is 30 s behind cover the tokens of the last 30 s',
  async () => {
    const server = await startAhead(-30 * second)
    const node = await startReadyNode(servers, server)
    const tokens = {
      client: tokenOfNow({ client_id: 'leaked' }),
      subject: tokenOfNow({ sub: 'foreign' }),
      everyone: tokenOfNow({ sub: 'u2' }),
    }
    await node.revocations.kickOut({ client: 'leaked' })
    expect(await isOut(node, tokens.client)).toBe(true)
    await node.revocations.kickOut({ subject: 'foreign' })
    expect(await isOut(node, tokens.subject)).toBe(true)
    expect(await isOut(node, tokens.everyone)).toBe(false)
    await node.revocations.kickOut({ everyone: true })
    expect(await isOut(node, tokens.everyone)).toBe(true)
  },
)

skewTest('U9 the clock of a process that is minutes ahead dates no kick-out', async () => {
  const server = await startAhead(-5 * minute)
  const node = await startReadyNode(servers, server)
  const { at } = await node.revocations.kickOut({ client: 'web' })
  expect(at).toBeLessThan(Date.now() - 4 * minute)
})

skewTest(
  'U9 a session that begins after such a kick-out lives, and so do its refreshed tokens',
  async () => {
    const server = await startAhead(-30 * second)
    const login = await startIssuer(server)
    const node = await startReadyNode(servers, server)
    const { at } = await node.revocations.kickOut({ client: 'web' })
    const started = await login.startSession({ subject: 'u1', clientId: 'web' })
    const { claims } = await refresh(login, started.refresh_token)
    // Redis is still before the kick-out. The token is dated by the beginning of its session.
    expect(claims.iat).toBe(Math.floor((at + 1) / second))
  },
)

skewTest.each([1, 4])(
  'U9 a clock that is set back by 30 s: client and everyone kick-outs end what began before (%d partitions)',
  async (partitions) => {
    const server = await startAhead(90 * second, partitions)
    const login = await startIssuer(server, partitions)
    const node = await startReadyNode(servers, server, { partitions })
    for (const target of [{ client: 'web' }, { everyone: true }] as const) {
      server.setClock(90 * second)
      const started = await Promise.all(
        Array.from({ length: 8 }, async (_, index) =>
          login.startSession({ subject: `u${index}`, clientId: 'web' }),
        ),
      )
      const claims = await Promise.all(
        started.map(async ({ refresh_token }) => (await refresh(login, refresh_token)).claims),
      )
      server.setClock(60 * second + 500)
      await node.revocations.kickOut(target)
      for (const [index, { refresh_token }] of started.entries()) {
        const token = claims[index]
        expect(token && (await isOut(node, token))).toBe(true)
        expect((await refresh(login, refresh_token)).status).toBe(400)
      }
    }
  },
)

skewTest(
  'U9 a Redis that lost its state and is behind: a user kick-out is above the versions of before',
  async () => {
    const server = await startAhead(0)
    const login = await startIssuer(server)
    const node = await startReadyNode(servers, server)
    const byReader = claimsIn((await login.startSession({ subject: 'u1' })).access_token)
    await login.issuer.kickOut({ subject: 'u0' })
    const byWriter = claimsIn((await login.startSession({ subject: 'u2' })).access_token)
    await server.client().flushall()
    // So far behind that the clocks of the writers are not believed.
    server.setClock(-10 * minute)
    await node.revocations.ready()
    // The servers' reports were lost too, so that no server is waited for.
    await login.issuer.kickOut({ subject: 'u2' })
    await waitUntil(async () => isOut(node, byWriter), { what: 'the kick-out by the issuer' })
    await node.revocations.kickOut({ subject: 'u1' })
    await waitUntil(async () => isOut(node, byReader), { what: 'the kick-out by the server' })
  },
)

skewTest(
  'U9 a clock that is set 66 min ahead trims nothing that is needed, and a server that boots has it',
  async () => {
    const retention = { retentionSeconds: 3000 }
    const server = await startAhead(0)
    const writer = await startReadyNode(servers, server, retention)
    const kickOutAll = async (name: string): Promise<void> => {
      const users = Array.from({ length: 250 }, (_, index) => `${name}${index}`)
      await Promise.all(users.map(async (user) => writer.kickOut(user)))
    }
    await kickOutAll('before')
    server.setClock(66 * minute)
    await kickOutAll('after')
    const booted = await startReadyNode(servers, server, retention)
    for (const name of ['before0', 'before249', 'after0']) {
      expect(await booted.ask(name)).toMatchObject({ status: 401 })
    }
  },
)

skewTest(
  'U9 a log that began in the future: a server that boots waits no longer than for a young log',
  async () => {
    const server = closing(await startRedis({ aheadMs: 10 * minute }))
    const writer = await startReadyNode(servers, server)
    await writer.kickOut('u1')
    await writer.revocations.close()
    server.setClock(0)
    const booted = await startReadyNode(servers, server)
    expect(await booted.ask('u1')).toMatchObject({ status: 401 })
    expect(await booted.ask('u2')).toMatchObject({ status: 200 })
  },
)

skewTest('U9 look-ups and followers agree about a Redis that is behind', async () => {
  const server = await startAhead(-30 * second)
  const node = await startReadyNode(servers, server)
  const looking = startNode(servers, server, { mode: 'lookup' })
  await looking.revocations.ready()
  const token = tokenOfNow({ client_id: 'leaked' })
  expect(await isOut(looking, token)).toBe(false)
  await node.revocations.kickOut({ client: 'leaked' })
  expect(await isOut(looking, token)).toBe(true)
})

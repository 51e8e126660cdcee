import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { GraphQLObjectType, GraphQLSchema, GraphQLString } from 'graphql'
import { type Client, type ClientOptions, createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocket, type WebSocketServer } from 'ws'
import { getAuth, type RequireAuthOptions } from '../../src/index.ts'
import {
  acceptUpgrades,
  getConnection,
  graphqlWsAuth,
  type GuardedConnection,
} from '../../src/websocket/index.ts'
import { waitUntil } from '../support/wait.ts'
import {
  bearerHeaders,
  closed,
  openStage,
  refused,
  type Stage,
  webSocketServer,
} from '../support/web-socket-stage.ts'

const protocol = 'graphql-transport-ws'
let stage: Stage
let wss: WebSocketServer
let connections: GuardedConnection[]

/** One subscription that ticks until it is ended, and one query that says who asks. */
const schema = new GraphQLSchema({
  query: new GraphQLObjectType<unknown, { subject: string }>({
    name: 'Query',
    fields: { me: { type: GraphQLString, resolve: (_root, _args, { subject }) => subject } },
  }),
  subscription: new GraphQLObjectType({
    name: 'Subscription',
    fields: {
      ticks: {
        type: GraphQLString,
        async *subscribe() {
          for (;;) {
            yield { ticks: 'tick' }
            await sleep(10)
          }
        },
      },
    },
  }),
})

beforeEach(async () => {
  await start()
})
afterEach(async () => {
  await stage.close()
})

/** @param inFront - refuse before the upgrade, with acceptUpgrades */
async function start(inFront = false, guard: Partial<RequireAuthOptions> = {}): Promise<void> {
  stage = await openStage(guard)
  connections = []
  wss = webSocketServer(stage)
  if (inFront) acceptUpgrades(stage.server, wss, stage.guard)
  else {
    stage.server.on('upgrade', (req, socket, head) => {
      wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req))
    })
  }
  const auth = graphqlWsAuth(stage.guard)
  useServer(
    {
      ...auth,
      schema,
      context: ({ extra }) => {
        connections.push(getConnection(extra.socket))
        return { subject: getAuth(extra.request).subject }
      },
    },
    wss,
  )
}

async function restart(...args: Parameters<typeof start>): Promise<void> {
  await stage.close()
  await start(...args)
}

function client(
  connectionParams?: Record<string, unknown>,
  options: Partial<ClientOptions> = {},
): Client {
  const made = createClient({
    url: stage.url,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    onNonLazyError: () => undefined,
    ...(connectionParams && { connectionParams }),
    ...options,
  })
  stage.closing.push(() => made.dispose())
  return made
}

async function ask(asking: Client): Promise<unknown> {
  for await (const { data } of asking.iterate({ query: '{ me }' })) return data
  return undefined
}

interface Ended {
  readonly code: number
  readonly reason: string
}

/** Subscribes; resolves to the first tick, and then to what ended it. */
async function subscribe(asking: Client) {
  let ticks = 0
  const ended = new Promise<Ended>((resolve) => {
    asking.subscribe(
      { query: 'subscription { ticks }' },
      {
        next: () => {
          ticks++
        },
        error: (error) => resolve(error as Ended),
        // At the end of the test.
        complete: () => resolve({ code: 1000, reason: 'complete' }),
      },
    )
  })
  await waitUntil(() => ticks > 0, { what: 'the first tick' })
  return { ended, count: () => ticks }
}

const params = (token: string) => ({ authorization: `Bearer ${token}` })

describe('a connection is let in', () => {
  test('with connectionParams.authorization', async () => {
    const token = await stage.issuer.token({ subject: 'u1' })
    expect(await ask(client(params(token)))).toEqual({ me: 'u1' })
  })

  test('with the token of the upgrade, and the subprotocol of GraphQL alone is echoed', async () => {
    const token = await stage.issuer.token({ subject: 'u1' })
    const ws = new WebSocket(stage.url, [protocol, `bearer.${token}`])
    await once(ws, 'open')
    expect(ws.protocol).toBe(protocol)
    ws.send(JSON.stringify({ type: 'connection_init' }))
    const [ack] = (await once(ws, 'message')) as [Buffer]
    expect(JSON.parse(ack.toString())).toEqual({ type: 'connection_ack' })
  })

  test('by acceptUpgrades in front of it, which refuses before the upgrade', async () => {
    await restart(true)
    expect((await refused(stage.url, [protocol])).status).toBe(401)
    const token = await stage.issuer.token({ subject: 'u1' })
    const ws = new WebSocket(stage.url, [protocol, `bearer.${token}`])
    await once(ws, 'open')
    ws.send(JSON.stringify({ type: 'connection_init' }))
    await once(ws, 'message')
    ws.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: '{ me }' } }))
    const [answer] = (await once(ws, 'message')) as [Buffer]
    expect(JSON.parse(answer.toString())).toMatchObject({ payload: { data: { me: 'u1' } } })
  })
})

describe('a connection is closed before connection_ack', () => {
  /** What the server says to a first message. */
  async function answer(payload: unknown, options: object = {}): Promise<Ended> {
    const ws = new WebSocket(stage.url, protocol, options)
    await once(ws, 'open')
    ws.on('message', () => ws.emit('error', new Error('it was let in')))
    ws.send(JSON.stringify({ type: 'connection_init', payload }))
    return closed(ws)
  }

  test('without a token, with a bad one, one of another form, or two', async () => {
    const token = await stage.issuer.token()
    const expired = await stage.issuer.token({ expired: true })
    const kicked = await stage.issuer.token({ subject: 'out' })
    await stage.revocations.kickOut({ subject: 'out' })
    const cases: [unknown, object, number, string][] = [
      [undefined, {}, 4401, 'missing_token'],
      [{ token }, {}, 4401, 'missing_token'],
      [{ authorization: 'Basic abc' }, {}, 4401, 'missing_token'],
      [params('nonsense'), {}, 4401, 'invalid_token'],
      [params(expired), {}, 4403, 'expired'],
      [params(kicked), {}, 4401, 'revoked'],
      [{ authorization: 7 }, {}, 4401, 'invalid_request'],
      [{ authorization: [`Bearer ${token}`] }, {}, 4401, 'invalid_request'],
      [{ authorization: `Bearer\t${token}` }, {}, 4401, 'invalid_request'],
      [params(token), bearerHeaders(token), 4401, 'invalid_request'],
    ]
    for (const [payload, options, code, reason] of cases) {
      expect(await answer(payload, options)).toEqual({ code, reason })
    }
  })

  test('with a second token behind acceptUpgrades', async () => {
    await restart(true)
    const token = await stage.issuer.token()
    expect(await answer(params(token), bearerHeaders(token))).toEqual({
      code: 4401,
      reason: 'invalid_request',
    })
  })

  test('with 1013 while the guard cannot check tokens', async () => {
    const token = await stage.issuer.token()
    await stage.guard.close()
    expect(await answer(params(token))).toEqual({ code: 1013, reason: 'temporarily_unavailable' })
  })

  test('and is cut where its client does not answer the close', async () => {
    const ws = new WebSocket(stage.url, protocol)
    await once(ws, 'open')
    const [server] = [...wss.clients]
    ws.send(JSON.stringify({ type: 'connection_init' }), () => ws.pause())
    const startedAt = performance.now()
    await once(server!, 'close')
    expect(performance.now() - startedAt).toBeGreaterThan(1500)
    ws.terminate()
  })
})

describe.each([
  ['alone', false],
  ['behind acceptUpgrades', true],
])('an open subscription, %s', (_name, inFront) => {
  function signedIn(token: string): Client {
    if (!inFront) return client(params(token))
    class WithHeader extends WebSocket {
      constructor(url: string, protocols: string) {
        super(url, protocols, bearerHeaders(token))
      }
    }
    return client(undefined, { webSocketImpl: WithHeader })
  }

  test('ends with 4401 at the kick-out of its session, and no other one does', async () => {
    await restart(inFront)
    const mine = await subscribe(
      signedIn(await stage.issuer.token({ subject: 'u1', sessionId: 's1' })),
    )
    const other = await subscribe(
      signedIn(await stage.issuer.token({ subject: 'u1', sessionId: 's2' })),
    )
    const startedAt = performance.now()
    await stage.revocations.kickOut({ session: 's1' })
    expect(await mine.ended).toMatchObject({ code: 4401, reason: 'revoked' })
    expect(performance.now() - startedAt).toBeLessThan(1000)
    const [ticks, before] = [mine.count(), other.count()]
    await waitUntil(() => other.count() > before, { what: 'the other subscription to go on' })
    expect(mine.count()).toBe(ticks)
  })

  test('ends with 4403 when its token expires, unless it was extended', async () => {
    await restart(inFront, { clockToleranceSeconds: 0 })
    const login = { subject: 'u1', sessionId: 's1' }
    const brief = { ...login, expiresInSeconds: 2 }
    const extended = await subscribe(signedIn(await stage.issuer.token(brief)))
    await connections[0]!.extend(await stage.issuer.token(login))
    const left = await subscribe(signedIn(await stage.issuer.token(brief)))
    expect(await left.ended).toMatchObject({ code: 4403, reason: 'expired' })
    const before = extended.count()
    await waitUntil(() => extended.count() > before, { what: 'the extended one to go on' })
  })
})

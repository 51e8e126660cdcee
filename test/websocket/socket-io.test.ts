import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Server, type Socket } from 'socket.io'
import {
  type ManagerOptions,
  io as connectTo,
  type Socket as Client,
  type SocketOptions,
} from 'socket.io-client'
import { type ConnectionOptions, getConnection, socketIoAuth } from '../../src/websocket/index.ts'
import { waitUntil } from '../support/wait.ts'
import { bearerHeaders, openStage, type Stage } from '../support/web-socket-stage.ts'

let stage: Stage
let io: Server

beforeEach(async () => {
  await start()
})
afterEach(async () => {
  await stage.close()
})

async function start(options: ConnectionOptions = {}, guard: object = {}, server: object = {}) {
  stage = await openStage(guard)
  io = new Server(stage.server, server)
  io.use(socketIoAuth(stage.guard, options))
  stage.closing.push(async () => io.close())
}

async function restart(...args: Parameters<typeof start>): Promise<void> {
  await stage.close()
  await start(...args)
}

function client(options: Partial<ManagerOptions & SocketOptions>, namespace = '/'): Client {
  const socket = connectTo(`http://127.0.0.1:${stage.port}${namespace}`, {
    transports: ['websocket'],
    forceNew: true,
    ...options,
  })
  stage.closing.push(() => socket.disconnect())
  return socket
}

async function event(socket: Client, name: 'connect' | 'disconnect'): Promise<unknown> {
  return new Promise((resolve) => {
    socket.once(name, resolve)
  })
}

interface Refusal extends Error {
  readonly data: { status: number; error?: string; headers: Record<string, string> }
}

async function refusal(socket: Client): Promise<Refusal> {
  return new Promise((resolve, reject) => {
    socket.on('connect', () => reject(new Error('it was let in')))
    socket.on('connect_error', (error) => resolve(error as Refusal))
  })
}

async function open(token: string, options: Partial<ManagerOptions & SocketOptions> = {}) {
  const accepted = once(io, 'connection') as Promise<[Socket]>
  const socket = client({ auth: { token }, ...options })
  await event(socket, 'connect')
  const [server] = await accepted
  return { socket, server, connection: getConnection(server) }
}

/** What a client hears until it is disconnected. */
async function goodbye(socket: Client) {
  const heard: unknown[] = []
  socket.onAny((...args: unknown[]) => heard.push(args))
  const reason = await event(socket, 'disconnect')
  return { heard, reason }
}

describe('a socket is let in', () => {
  test.each([['websocket'], ['polling']])(
    'with handshake.auth.token over %s',
    async (transport) => {
      const token = await stage.issuer.token({ subject: 'u1' })
      const { connection } = await open(token, { transports: [transport] })
      expect(connection.auth.subject).toBe('u1')
    },
  )

  test('with Authorization', async () => {
    const token = await stage.issuer.token({ subject: 'u1' })
    const socket = client({ extraHeaders: bearerHeaders(token).headers })
    await event(socket, 'connect')
  })
})

describe('a socket is refused with connect_error', () => {
  test('without a token, with the status and challenge of the guard', async () => {
    const { data, message } = await refusal(client({}))
    expect(data).toMatchObject({
      status: 401,
      error: 'missing_token',
      headers: { 'WWW-Authenticate': 'Bearer realm="api"' },
    })
    expect(message).toBe((data as { error_description?: string }).error_description)
  })

  test('with a bad token, a token that is no string, two tokens, or one in the query', async () => {
    const token = await stage.issuer.token()
    const cases: [Partial<ManagerOptions & SocketOptions>, number, string][] = [
      [{ auth: { token: await stage.issuer.token({ expired: true }) } }, 401, 'invalid_token'],
      [{ auth: { token: await stage.issuer.token({ forged: true }) } }, 401, 'invalid_token'],
      [{ auth: { token: [token] } }, 400, 'invalid_request'],
      [{ auth: { token: { toString: 'x' } } }, 400, 'invalid_request'],
      [{ auth: { token: '' } }, 401, 'missing_token'],
      [{ auth: { token }, extraHeaders: bearerHeaders(token).headers }, 400, 'invalid_request'],
      [{ query: { token, access_token: token } }, 401, 'missing_token'],
    ]
    for (const [options, status, error] of cases) {
      expect((await refusal(client(options))).data).toMatchObject({ status, error })
    }
  })

  test('with 503 while the guard cannot check tokens', async () => {
    const token = await stage.issuer.token()
    await stage.guard.close()
    expect((await refusal(client({ auth: { token } }))).data).toMatchObject({
      status: 503,
      headers: { 'Retry-After': '1' },
    })
  })

  test('where recovered sockets would pass by the check', async () => {
    await restart({}, {}, { connectionStateRecovery: {} })
    const token = await stage.issuer.token()
    const { message } = await refusal(client({ auth: { token } }))
    expect(message).toBe('socketIoAuth: connectionStateRecovery needs skipMiddlewares: false')
    await restart({}, {}, { connectionStateRecovery: { skipMiddlewares: false } })
    await open(await stage.issuer.token())
  })
})

describe('an open socket', () => {
  test.each([['websocket'], ['polling']])(
    'over %s hears why and is disconnected within a second of the kick-out of its session; no other one is',
    async (transport) => {
      const options = { transports: [transport] }
      const mine = await open(await stage.issuer.token({ subject: 'u1', sessionId: 's1' }), options)
      const other = await open(
        await stage.issuer.token({ subject: 'u1', sessionId: 's2' }),
        options,
      )
      const end = goodbye(mine.socket)
      const startedAt = performance.now()
      await stage.revocations.kickOut({ session: 's1' })
      // Nothing is sent after the kick-out.
      mine.server.emit('late')
      expect(await end).toEqual({
        heard: [['kickout', { code: 4401, reason: 'revoked' }]],
        reason: 'io server disconnect',
      })
      expect(performance.now() - startedAt).toBeLessThan(1000)
      await sleep(100)
      expect(mine.socket.active).toBe(false)
      expect(other.socket.connected).toBe(true)
      expect(other.connection.isOpen).toBe(true)
    },
  )

  test('is disconnected with 4403 when its token expires', async () => {
    await restart({}, { clockToleranceSeconds: 0 })
    const { socket } = await open(await stage.issuer.token({ expiresInSeconds: 2 }))
    expect((await goodbye(socket)).heard).toEqual([['kickout', { code: 4403, reason: 'expired' }]])
  })

  test('goes on with a refreshed token, and ends with one of another session', async () => {
    const login = { subject: 'u1', sessionId: 's1' }
    const { socket, connection } = await open(await stage.issuer.token(login))
    const refreshed = await stage.issuer.token(login)
    await connection.extend(refreshed)
    expect(connection.auth.token).toBe(refreshed)
    const end = goodbye(socket)
    await expect(connection.extend(await stage.issuer.token())).rejects.toThrow(/session/)
    expect((await end).heard).toEqual([['kickout', { code: 4401, reason: 'invalid_token' }]])
  })

  test('ends alone where another namespace of its client came with another token', async () => {
    io.of('/other').use(socketIoAuth(stage.guard))
    const mine = await open(await stage.issuer.token({ subject: 'u1' }))
    const other = mine.socket.io.socket('/other', {
      auth: { token: await stage.issuer.token({ subject: 'u2' }) },
    })
    other.connect()
    await event(other, 'connect')
    const end = goodbye(mine.socket)
    await stage.revocations.kickOut({ subject: 'u1' })
    expect((await end).reason).toBe('io server disconnect')
    await sleep(50)
    expect(other.connected).toBe(true)
    const last = goodbye(other)
    await stage.revocations.kickOut({ subject: 'u2' })
    await last
  })

  test('whose client has left the namespace is let go of', async () => {
    const { socket, connection } = await open(await stage.issuer.token({ subject: 'u1' }))
    socket.disconnect()
    await waitUntil(() => !connection.isOpen, { what: 'the connection to be let go of' })
  })

  test('is cut when its peer takes nothing any more', async () => {
    await restart({ closeTimeoutMs: 200 })
    const { socket } = await open(await stage.issuer.token({ subject: 'u1' }))
    // The client no longer reads, so it never answers the close.
    const { ws } = socket.io.engine.transport as unknown as { ws: { pause(): void } }
    ws.pause()
    const startedAt = performance.now()
    await stage.revocations.kickOut({ subject: 'u1' })
    await waitUntil(() => openSockets().then((count) => count === 0), {
      what: 'the socket to be cut',
    })
    expect(performance.now() - startedAt).toBeLessThan(1500)
  })

  test('that is kicked out between the check and its connection never connects', async () => {
    io.use((_socket, next) => {
      void stage.revocations.kickOut({ subject: 'u1' }).then(() => next())
    })
    let connections = 0
    io.on('connection', () => connections++)
    const socket = client({
      auth: { token: await stage.issuer.token({ subject: 'u1' }) },
      reconnection: false,
    })
    await new Promise((resolve) => {
      socket.io.on('close', resolve)
    })
    expect(connections).toBe(0)
    expect(socket.connected).toBe(false)
  })
})

async function openSockets(): Promise<number> {
  return new Promise((resolve, reject) => {
    stage.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}

import { once } from 'node:events'
import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import express, { type Express } from 'express'
import { authErrorHandler, getAuth } from '../../../src/index.ts'
import type { MtlsOptions } from '../../../src/guard/binding/options.ts'
import { type Certificate, makeCertificates } from '../../support/certificates.ts'
import { expressVersions } from '../../support/express-versions.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { makeGuarded } from '../../support/guarded.ts'
import { listen, send } from '../../support/http-client.ts'
import { makeSigner } from '../../support/make-token.ts'
import { makeProofKey } from '../../support/proofs.ts'

const certificates = makeCertificates()
const [mine, theirs] = certificates.clients
const signer = makeSigner('ES256')
const open: { close(): unknown }[] = []

afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close()
})

const encode = ({ pem }: Certificate): string => encodeURIComponent(pem)
const cnf = ({ thumbprint }: Certificate) => ({ cnf: { 'x5t#S256': thumbprint } })

function makeApp(mtls: MtlsOptions, options: object = {}, make = express as () => Express) {
  const guarded = makeGuarded({ mtls, ...options }, { clock: new FakeClock(Date.now()), signer })
  open.push(guarded.guard)
  const app = make().set('env', 'test').use(guarded.guard)
  app.get('/reports', (req, res) => void res.json({ subject: getAuth(req).subject }))
  app.use(authErrorHandler())
  const reasons = () => guarded.events.flatMap((event) => ('reason' in event ? event.reason : []))
  return { app, reasons, token: guarded.token }
}

/** A server that ends TLS itself and asks for a certificate of whatever authority. */
async function serveTls(
  app: Express,
): Promise<(token: string, client?: Certificate) => Promise<number>> {
  const { server, authority } = certificates
  const options = { key: server.key, cert: server.pem, ca: authority, requestCert: true }
  const tls = createServer({ ...options, rejectUnauthorized: false }, app).listen(0, '127.0.0.1')
  await once(tls, 'listening')
  const agents: Agent[] = []
  open.push({
    async close() {
      for (const agent of agents) agent.destroy()
      tls.closeAllConnections()
      tls.close()
      await once(tls, 'close')
    },
  })
  const { port } = tls.address() as AddressInfo
  const agentOf = new Map<Certificate | undefined, Agent>()
  return async (token, client) => {
    let agent = agentOf.get(client)
    if (!agent) {
      // Sessions are resumed: the certificate of the first handshake has to count in the later ones too.
      agent = new Agent({
        ca: authority,
        keepAlive: false,
        ...(client && { key: client.key, cert: client.pem }),
      })
      agentOf.set(client, agent)
      agents.push(agent)
    }
    const headers = { authorization: `Bearer ${token}` }
    const sent = request({ host: '127.0.0.1', port, path: '/reports', headers, agent }).end()
    const [response] = (await once(sent, 'response')) as [{ statusCode: number; resume(): void }]
    response.resume()
    return response.statusCode
  }
}

describe.each(expressVersions)('a guard that ends TLS itself on %s', (_name, make) => {
  test('lets a token in over the connection of its certificate alone', async () => {
    const { app, token, reasons } = makeApp({ certificate: 'socket' }, {}, make)
    const call = await serveTls(app)
    const own = token(cnf(mine))
    for (let again = 0; again < 3; again++) expect(await call(own, mine)).toBe(200)
    expect(await call(own, theirs)).toBe(401)
    expect(await call(own)).toBe(401)
    expect(await call(token(cnf(theirs)), theirs)).toBe(200)
    expect(await call(token(cnf(certificates.selfSigned)), certificates.selfSigned)).toBe(200)
    expect(await call(token(), theirs)).toBe(200)
    expect(await call(token())).toBe(200)
    expect(reasons()).toEqual(['binding', 'binding'])
  })
})

describe('a guard with mtls', () => {
  test('refuses tokens without a certificate where it is required', async () => {
    const { app, token, reasons } = makeApp({ certificate: 'socket', required: true })
    const call = await serveTls(app)
    expect(await call(token(), mine)).toBe(401)
    expect(reasons()).toEqual(['binding'])
    expect(await call(token(cnf(mine)), mine)).toBe(200)
  })

  test('refuses a certificate-bound token over a connection without TLS', async () => {
    const { app, token } = makeApp({ certificate: 'socket' })
    const server = await listen(app)
    open.push(server)
    const headers = { authorization: `Bearer ${token(cnf(mine))}`, 'client-cert': encode(mine) }
    expect(await send(`${server.url}/reports`, { headers })).toMatchObject({ status: 401 })
  })

  test('asks for certificate and proof where a token is bound to both', async () => {
    const publicUrl = 'https://api.test'
    const { app, token } = makeApp(
      { certificate: { header: 'client-cert', format: 'pem-urlencoded' } },
      { dpop: { publicUrl } },
    )
    const server = await listen(app.set('trust proxy', 'loopback'))
    open.push(server)
    const key = await makeProofKey()
    const own = token({ cnf: { jkt: key.thumbprint, 'x5t#S256': mine.thumbprint } })
    const ask = async (certificate: Certificate | undefined, hasProof: boolean) => {
      const dpop = key.prove({ token: own, htu: `${publicUrl}/reports` })
      const headers = {
        authorization: `DPoP ${own}`,
        ...(hasProof && { dpop }),
        ...(certificate && { 'client-cert': encode(certificate) }),
      }
      return (await send(`${server.url}/reports`, { headers })).status
    }
    expect(await ask(mine, true)).toBe(200)
    expect(await ask(mine, false)).toBe(401)
    expect(await ask(theirs, true)).toBe(401)
    expect(await ask(undefined, true)).toBe(401)
  })
})

const sources = {
  rfc9440: {
    header: 'Client-Cert',
    write: ({ der }: Certificate) => `:${der.toString('base64')}:`,
  },
  'pem-urlencoded': { header: 'X-SSL-Client-Cert', write: encode },
  xfcc: {
    header: 'x-forwarded-client-cert',
    write: (certificate: Certificate) => `Hash=${'a'.repeat(64)};Cert="${encode(certificate)}"`,
  },
} as const

describe.each(['rfc9440', 'pem-urlencoded', 'xfcc'] as const)(
  'the header of a proxy, %s',
  (format) => {
    const { header, write } = sources[format]

    async function setUp(trust: unknown, make = express as () => Express) {
      const { app, token, reasons } = makeApp({ certificate: { header, format } }, {}, make)
      if (trust !== undefined) app.set('trust proxy', trust)
      const server = await listen(app)
      open.push(server)
      const own = token(cnf(mine))
      const call = async (value?: string | string[], more: Record<string, string> = {}) => {
        const given = value === undefined ? {} : { [header]: value }
        const headers = { authorization: `Bearer ${own}`, ...given, ...more }
        return (await send(`${server.url}/reports`, { headers })).status
      }
      return { call, reasons }
    }

    test.each(expressVersions)(
      'counts from a peer that "trust proxy" trusts, on %s',
      async (_name, make) => {
        for (const trust of ['loopback', true, 1, '127.0.0.1', ['127.0.0.0/8']]) {
          const { call } = await setUp(trust, make)
          expect(await call(write(mine))).toBe(200)
          expect(await call(write(theirs))).toBe(401)
        }
      },
    )

    test('does not count from any other peer, whatever it forwards', async () => {
      for (const trust of [undefined, false, 0, '10.0.0.1', 'linklocal']) {
        const { call, reasons } = await setUp(trust)
        expect(await call(write(mine))).toBe(401)
        expect(await call(write(mine), { 'x-forwarded-for': '10.0.0.1' })).toBe(401)
        expect(new Set(reasons())).toEqual(new Set(['binding']))
      }
    })

    test('is refused when it is missing, there twice, wrong or unreadable', async () => {
      const { call, reasons } = await setUp('loopback')
      const good = write(mine)
      const wrong = [undefined, '', 'x', good.slice(0, -10), [good, good], [good, write(theirs)], [write(theirs), good], `${good}, ${good}`] // prettier-ignore
      for (const value of wrong) expect([value, await call(value)]).toEqual([value, 401])
      expect(reasons()).toEqual(wrong.map(() => 'binding'))
      expect(await call(good)).toBe(200)
    })
  },
)

test('guard.authenticate trusts no header where there is no Express to say whom to trust', async () => {
  const certificate = { header: 'client-cert', format: 'rfc9440' } as const
  const { guard, token } = makeGuarded(
    { mtls: { certificate } },
    { clock: new FakeClock(Date.now()), signer },
  )
  open.push(guard)
  const value = sources.rfc9440.write(mine)
  const req = {
    headers: {},
    rawHeaders: ['Client-Cert', value],
    socket: { remoteAddress: '127.0.0.1' },
  }
  const handed = guard.authenticate(req, { token: token(cnf(mine)) })
  await expect(handed).rejects.toMatchObject({ reason: 'binding' })
})

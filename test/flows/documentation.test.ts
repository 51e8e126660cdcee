import { afterAll, afterEach, expect, test } from '@jest/globals'
import { findBlock, type RunningSample, runSample } from '../support/sample-process.ts'
import { type OpaqueIssuer, resourceServer, startOpaqueIssuer } from '../support/opaque-issuer.ts'

/* The samples of docs/signals.md, docs/introspection.md and docs/suspicious-activity.md, run as they are. */

const running: RunningSample[] = []
let as: OpaqueIssuer | undefined

afterEach(async () => {
  await Promise.all(running.splice(0).map(async (sample) => sample.stop()))
})
afterAll(async () => as?.close())

/** Runs a block with code in front, which prints one line of JSON when the block has run. */
async function printedBy(
  page: string,
  text: string,
  before: string,
  replace: Record<string, string> = {},
): Promise<unknown> {
  const sample = runSample(findBlock(page, text), { before, replace })
  running.push(sample)
  const code = await sample.ended()
  const line = sample.output().trim().split('\n').at(-1) ?? ''
  if (code !== 0) throw new Error(sample.output())
  return JSON.parse(line)
}

const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const newFirefox = firefox.replaceAll('140.0', '152.0')
const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
const edge = `${chrome} Edg/140.0.0.0`

test('docs/suspicious-activity.md: another browser ends the session, and an update of it does not', async () => {
  const cases = [
    [firefox, firefox],
    [firefox, newFirefox],
    [firefox, chrome],
    [chrome, edge],
    [chrome, undefined],
    [undefined, 'curl/8.0'],
  ]
  const answers = await printedBy(
    'docs/suspicious-activity.md',
    'anotherBrowser: AssessRisk',
    `setTimeout(() => {
      const cases: (string | undefined)[][] = ${JSON.stringify(cases).replaceAll('null', 'undefined')}
      const session = {} as never
      console.log(JSON.stringify(cases.map(([began, now]) => anotherBrowser(session, {
        ...(began && { device: { userAgent: began } }),
        ...(now && { userAgent: now }),
      }))))
    })`,
  )
  expect(answers).toEqual(['allow', 'allow', 'end', 'end', 'end', 'allow'])
})

test('docs/suspicious-activity.md: another country ends a young session, and not an old one', async () => {
  const answers = await printedBy(
    'docs/suspicious-activity.md',
    'anotherCountry: AssessRisk',
    `const countryOf = (ip: string) => ({ '192.0.2.1': 'FR', '192.0.2.2': 'FR', '198.51.100.1': 'AU' })[ip]
    setTimeout(() => {
      const ask = (minutes: number, began: string, now: string) =>
        anotherCountry({ startedAt: Date.now() - minutes * 60_000 } as never, { device: { ip: began }, ip: now })
      console.log(JSON.stringify([
        ask(5, '192.0.2.1', '192.0.2.2'),
        ask(5, '192.0.2.1', '198.51.100.1'),
        ask(5, '192.0.2.1', '203.0.113.1'),
        ask(600, '192.0.2.1', '198.51.100.1'),
      ]))
    })`,
  )
  expect(answers).toEqual(['allow', 'end', 'allow', 'allow'])
})

test('docs/signals.md: a request as Okta sends it ends the sessions of its user', async () => {
  const answers = await printedBy(
    'docs/signals.md',
    'universalLogout({',
    `import { createServer } from 'node:http'
    import { exportJWK, generateKeyPair, SignJWT } from 'jose'
    import { createIssuer, generateSigningKey, memoryStore } from 'express-kickout/issuer'
    const { publicKey, privateKey } = await generateKeyPair('RS256')
    const keys = createServer(async (_req, res) => {
      res.end(JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1' }] }))
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => keys.once('listening', resolve))
    const keysUri = 'http://127.0.0.1:' + (keys.address() as { port: number }).port
    const issuer = createIssuer({
      issuer: 'https://login.example.com',
      audience: 'https://api.example.com',
      signingKeys: [await generateSigningKey('ES256')],
      refreshTokenSecret: 's'.repeat(32),
      store: memoryStore(),
    })
    const users = {
      byEmail: async (email: string) => (email === 'ada@example.com' ? { id: 'ada' } : undefined),
      byLogin: async () => undefined,
    }
    setTimeout(async () => {
      await issuer.startSession({ subject: 'ada' })
      await new Promise((resolve) => setTimeout(resolve, 1000 - (Date.now() % 1000)))
      const server = app.listen(0, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      const url = 'http://127.0.0.1:' + (server.address() as { port: number }).port
      const ask = async (email: string) => {
        const token = await new SignJWT({ jti: crypto.randomUUID() })
          .setProtectedHeader({ alg: 'RS256', kid: 'k1', typ: 'global-token-revocation+jwt' })
          .setIssuer('https://example.okta.com')
          .setAudience('https://login.example.com/global-token-revocation')
          .setIssuedAt().setExpirationTime('5m').sign(privateKey)
        const answer = await fetch(url + '/global-token-revocation', {
          method: 'POST',
          headers: { authorization: 'Bearer ' + token, 'content-type': 'application/json' },
          body: JSON.stringify({ sub_id: { format: 'email', email } }),
        })
        return answer.status
      }
      const statuses = [await ask('eve@example.com'), await ask('ada@example.com')]
      const left = (await issuer.listSessions('ada')).length
      for (const one of [server, keys]) one.close().closeAllConnections()
      await issuer.close()
      console.log(JSON.stringify({ statuses, left }))
      process.exit(0)
    })`,
    { "'https://example.okta.com/oauth2/v1/keys'": 'keysUri' },
  )
  expect(answers).toEqual({ statuses: [404, 204], left: 0 })
})

test('docs/introspection.md: the guard asks a real provider about an opaque token', async () => {
  as = await startOpaqueIssuer()
  const token = await as.userToken()
  const answers = await printedBy(
    'docs/introspection.md',
    'introspection: {',
    `import { getAuth, memoryRevocations } from 'express-kickout'
    const revocations = memoryRevocations({ issuer: '${as.issuer}' })
    setTimeout(async () => {
      app.get('/', (req, res) => { res.send(getAuth(req).subject) })
      const server = app.listen(0, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      const url = 'http://127.0.0.1:' + (server.address() as { port: number }).port
      const ask = async (token: string) => {
        const answer = await fetch(url, { headers: { authorization: 'Bearer ' + token } })
        return [answer.status, answer.ok ? await answer.text() : '']
      }
      const before = [await ask('${token}'), await ask('unknown')]
      await revocations.kickOut({ subject: 'u1' })
      console.log(JSON.stringify([...before, await ask('${token}')]))
      process.exit(0)
    })`,
    {
      'https://login.example.com': as.issuer,
      "redisRevocations('redis://localhost:6379')": 'revocations',
      "process.env['API_SECRET'] ?? ''": `'${resourceServer.secret}'`,
      "'reports-api'": `'${resourceServer.id}'`,
    },
  )
  expect(answers).toEqual([
    [200, 'u1'],
    [401, ''],
    [401, ''],
  ])
})

import { issuer } from './guard.js'

/* Asks the application of docs/nestjs.md, which `main.ts` has started. */

const url = `http://127.0.0.1:${process.env['PORT']}`

async function ask(path: string, token?: string): Promise<unknown[]> {
  const headers: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` }
  const response = await fetch(url + path, { headers })
  return [response.status, response.headers.get('www-authenticate'), await response.json()]
}

async function untilListening(): Promise<void> {
  const givesUpAt = Date.now() + 30_000
  for (;;) {
    try {
      await fetch(url)
      return
    } catch (error) {
      if (Date.now() > givesUpAt) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function check(what: string, actual: unknown, expected: unknown): void {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (a !== e) throw new Error(`${what}: ${a} instead of ${e}`)
}

async function main(): Promise<void> {
  await untilListening()
  const token = await issuer.token({ subject: 'u1' })
  check('no token', (await ask('/reports')).slice(0, 2), [401, 'Bearer realm="api"'])
  check('a token', await ask('/reports', token), [200, null, { for: 'u1' }])
  const [status, challenge, body] = await ask('/reports/all', token)
  const needed = 'Bearer realm="api", error="insufficient_scope", scope="reports:admin"'
  check('no scope', [status, String(challenge).startsWith(needed)], [403, true])
  check('the body', (body as { error?: string }).error, 'insufficient_scope')
  const admin = await issuer.token({ subject: 'a1', scope: 'reports:admin' })
  check('an admin', await ask('/reports/all', admin), [200, null, { admin: 'a1' }])
  await issuer.kickOut({ subject: 'u1' })
  const [out, , reason] = await ask('/reports', token)
  check('kicked out', [out, (reason as { error?: string }).error], [401, 'invalid_token'])
  issuer.unavailable(true)
  check('unavailable', (await ask('/reports', admin))[0], 503)
  check('a route of Nest that is not there', (await ask('/nothing'))[0], 404)
  console.log('kicked out')
  process.exit(0)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})

import { describe, expect, test } from '@jest/globals'
import express from 'express'
import { adminRouter } from '../../src/admin/index.ts'
import { authErrorHandler } from '../../src/guard/middleware.ts'
import { requireAnyScope, requireScope } from '../../src/guard/route-guards.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { bearer, factsOf, makeGuarded, run } from '../support/guarded.ts'
import { listen, send } from '../support/http-client.ts'

/** `reports` includes `reports:read`. */
const scopeIncludes = (granted: string, wanted: string) => wanted.startsWith(`${granted}:`)

describe('scopeIncludes', () => {
  test('a scope guard accepts a wider scope, and the same one still', async () => {
    const guarded = makeGuarded({ scopeIncludes })
    for (const scope of ['reports', 'reports:read reports:write', 'reports:read reports']) {
      const req = () => bearer(guarded.token({ scope }))
      const all = requireScope('reports:read', 'reports:write')
      expect((await run([guarded.guard, all], req())).error).toBeUndefined()
      const any = requireAnyScope('reports:read', 'users:read')
      expect((await run([guarded.guard, any], req())).error).toBeUndefined()
    }
  })
  test('and refuses a narrower one', async () => {
    const guarded = makeGuarded({ scopeIncludes })
    const req = () => bearer(guarded.token({ scope: 'reports:read users' }))
    for (const handler of [requireScope('reports'), requireAnyScope('reports', 'admin')]) {
      const { error } = await run([guarded.guard, handler], req())
      expect(factsOf(error)).toMatchObject({ status: 403, code: 'insufficient_scope' })
    }
  })
  test('only true is a yes: a promise is none', async () => {
    for (const answer of [Promise.resolve(true), 1, 'yes', {}, undefined]) {
      const guarded = makeGuarded({ scopeIncludes: () => answer as unknown as boolean })
      const { error } = await run([guarded.guard, requireScope('a')], bearer(guarded.token()))
      expect(factsOf(error)).toMatchObject({ status: 403 })
    }
  })
  test('the admin router asks it too', async () => {
    const revocations = memoryRevocations()
    const guarded = makeGuarded({ scopeIncludes, revocations })
    const app = express()
    app.use('/admin', guarded.guard, adminRouter({ revocations }))
    app.use(authErrorHandler())
    const server = await listen(app)
    const status = async (scope: string) => {
      const headers = { authorization: `Bearer ${guarded.token({ scope })}` }
      return (await send(`${server.url}/admin/servers`, { headers })).status
    }
    expect(await status('sessions')).toBe(200)
    expect(await status('session')).toBe(403)
    await server.close()
    await revocations.close()
  })
})

describe('challengeScope', () => {
  test('stands in the 401 without a token, and in no other', async () => {
    const guarded = makeGuarded({ challengeScope: ' mcp:read  mcp:write' })
    expect((await run(guarded.guard)).headers['WWW-Authenticate']).toBe(
      'Bearer realm="api", scope="mcp:read mcp:write"',
    )
    const bad = await guarded.ask(guarded.token({ aud: 'another' }))
    expect(bad.headers['WWW-Authenticate']).not.toContain('scope=')
  })
  test('a scope guard that answers names its own scopes', async () => {
    const guarded = makeGuarded({ challengeScope: 'mcp:read', credentials: 'optional' })
    const { headers } = await run([guarded.guard, requireScope('mcp:write')])
    expect(headers['WWW-Authenticate']).toBe('Bearer realm="api", scope="mcp:write"')
  })
})

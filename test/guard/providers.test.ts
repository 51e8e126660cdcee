import { afterEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { cutOnKickOut, getAuth, requireAuth, requireClaim, requireScope } from '../../src/index.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { bearer, factsOf, makeGuarded, run } from '../support/guarded.ts'
import { claimsAt, issuer, makeSigner } from '../support/make-token.ts'

/*
 * Situations of public bug reports: what identity providers send, and what stands between them and an API.
 */

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

type Options = NonNullable<Parameters<typeof makeGuarded>[0]>

function guarded(options: Options, setup: Parameters<typeof makeGuarded>[1] = {}) {
  const made = makeGuarded(options, setup)
  closers.push(async () => made.guard.close())
  const reasonOf = async (token: string) => {
    const { error } = await made.ask(token)
    return error === undefined ? 'accepted' : factsOf(error).reason
  }
  return { ...made, reasonOf }
}

describe('35 Amazon Cognito: access tokens without aud', () => {
  const cognito = { aud: undefined, token_use: 'access', client_id: 'app' }

  test('the client stands in for the audience', async () => {
    const it = guarded({ audience: undefined, clientIds: ['app', 'other'] } as never)
    expect(await it.reasonOf(it.token(cognito))).toBe('accepted')
    expect(await it.reasonOf(it.token({ ...cognito, client_id: 'foreign' }))).toBe('audience')
    expect(await it.reasonOf(it.token({ ...cognito, client_id: undefined }))).toBe('audience')
    expect(await it.reasonOf(it.token({ ...cognito, client_id: undefined, cid: 'app' }))).toBe(
      'accepted',
    )
  })

  test('beside an audience both have to fit; neither of them is a TypeError', async () => {
    const it = guarded({ clientIds: ['app'] })
    expect(await it.reasonOf(it.token({ client_id: 'app' }))).toBe('accepted')
    expect(await it.reasonOf(it.token({ client_id: 'x' }))).toBe('audience')
    expect(await it.reasonOf(it.token(cognito))).toBe('audience')
    expect(() => guarded({ audience: undefined } as never)).toThrow(
      /"audience" is missing.*clientIds/,
    )
  })
})

describe('36 http: in containers', () => {
  const keycloak = 'http://keycloak:8080/realms/dev'

  test('is refused unless the option says so', () => {
    expect(() => requireAuth({ issuer: keycloak, audience: 'api' })).toThrow(/dangerouslyAllowHttp/)
    const open = { dangerouslyAllowHttp: true, audience: 'api' }
    expect(() => requireAuth({ ...open, issuer: keycloak })).not.toThrow()
    expect(() =>
      requireAuth({ ...open, issuer: 'x', jwksUri: 'http://keycloak:8080/certs' }),
    ).not.toThrow()
  })

  test('25 an https issuer whose metadata names http keys is refused all the same', async () => {
    const https = 'https://login.example.com'
    const fetch = async () => Response.json({ issuer: https, jwks_uri: 'http://localhost:1/k' })
    const guard = requireAuth({ issuer: https, audience: 'api', fetch })
    closers.push(async () => guard.close())
    await expect(guard.ready()).rejects.toThrow(/not https, while the issuer is/)
  })
})

test('37 a fetch of the application is used for metadata and keys', async () => {
  const signer = makeSigner('ES256')
  const asked: string[] = []
  const fetch = async (url: unknown) => {
    asked.push(String(url))
    return String(url).endsWith('/keys')
      ? Response.json({ keys: [signer.publicJwk] })
      : Response.json({ issuer, jwks_uri: `${issuer}/keys` })
  }
  const guard = requireAuth({ issuer, audience: 'https://api.test', fetch })
  closers.push(async () => guard.close())
  const token = signer.sign(claimsAt(Math.floor(Date.now() / 1000)))
  expect((await run(guard, bearer(token))).error).toBeUndefined()
  expect(asked).toHaveLength(2)
})

describe('38 Entra ID for many organisations', () => {
  const signer = makeSigner('ES256')
  const tenant = (name: string) => `https://login.example.com/${name}/v2.0`

  function tenants() {
    const asked: string[] = []
    const made = guarded(
      {
        jwks: undefined,
        issuer: async (iss: string) => {
          asked.push(iss)
          if (iss.includes('broken')) throw new Error('database')
          return iss.includes('evil')
            ? undefined
            : { issuer: iss, jwksUri: 'https://login.example.com/keys' }
        },
      } as never,
      { signer, fetch: async () => Response.json({ keys: [signer.publicJwk] }) },
    )
    return { ...made, asked }
  }

  test('one question per iss, one key set per address, nothing fetched for undefined', async () => {
    const it = tenants()
    for (const name of ['a', 'b', 'a', 'b']) {
      expect(await it.reasonOf(it.token({ iss: tenant(name) }))).toBe('accepted')
    }
    expect(it.asked).toEqual([tenant('a'), tenant('b')])
    expect(it.fetched).toEqual(['https://login.example.com/keys'])
    for (let index = 0; index < 3; index++)
      expect(await it.reasonOf(it.token({ iss: tenant('evil') }))).toBe('issuer')
    expect(it.asked).toHaveLength(3)
    expect(it.fetched).toHaveLength(1)
  })

  test('a function that fails is 503, and is asked again', async () => {
    const it = tenants()
    for (let index = 0; index < 2; index++) {
      const { error } = await it.ask(it.token({ iss: tenant('broken') }))
      expect(factsOf(error)).toMatchObject({ status: 503, reason: 'jwks' })
    }
    expect(it.asked).toHaveLength(2)
  })

  test('at most 1 000 issuers are remembered', async () => {
    const it = tenants()
    for (let index = 0; index < 1100; index++) await it.ask(it.token({ iss: tenant(`t${index}`) }))
    await it.ask(it.token({ iss: tenant('t1099') }, { jti: 'x' }))
    expect(it.asked).toHaveLength(1100)
    await it.ask(it.token({ iss: tenant('t0'), jti: 'again' }))
    expect(it.asked).toHaveLength(1101)
  })

  test('an entry of another issuer is never taken', async () => {
    const it = guarded({
      jwks: undefined,
      issuer: () => ({ issuer: 'https://other.example.com', jwks: { keys: [signer.publicJwk] } }),
    } as never)
    const { error } = await it.ask(signer.sign(claimsAt(it.clock.seconds)))
    expect(factsOf(error)).toMatchObject({ status: 503 })
  })
})

test('39 a first set of keys is used until the first fetch, which comes by itself', async () => {
  const [old, next] = [makeSigner('ES256', 'old'), makeSigner('ES256', 'next')]
  let answers = 0
  const it = guarded(
    { jwks: { keys: [old.publicJwk] }, jwksUri: 'https://issuer.test/jwks' },
    {
      signer: old,
      fetch: async () => {
        answers++
        return Response.json({ keys: [old.publicJwk, next.publicJwk] })
      },
    },
  )
  expect(await it.reasonOf(it.token())).toBe('accepted')
  expect(answers).toBe(0)
  expect(await it.reasonOf(next.sign(claimsAt(it.clock.seconds)))).toBe('accepted')
  expect(answers).toBe(1)
})

describe('P2 a kick-out names the claim that the provider has', () => {
  test.each([
    ['subject', { subject: ['oid'] }, { oid: 'object-1' }, { subject: 'object-1' }],
    ['session', { session: ['session_id'] }, { session_id: 's-9' }, { session: 's-9' }],
    ['token', { tokenId: ['uti'] }, { uti: 'u-7' }, { token: { jti: 'u-7' } }],
  ])('%s', async (_level, claims, has, target) => {
    const revocations = memoryRevocations({ issuer })
    const it = guarded({ claims, revocations })
    const token = it.token(has)
    const { auth } = await it.ask(token)
    const { signal } = auth!
    expect(signal.aborted).toBe(false)
    await revocations.kickOut(target)
    expect(await it.reasonOf(token)).toBe('revoked')
    expect(signal.aborted).toBe(true)
    const without = guarded({ revocations })
    expect(await without.reasonOf(without.token(has))).toBe('accepted')
  })
})

test('P3 claims of ID tokens in access tokens need a word of the application', async () => {
  const strict = guarded({})
  const plain = { nonce: 'n', at_hash: 'h' }
  expect(await strict.reasonOf(strict.token(plain, { typ: 'JWT' }))).toBe('type')
  const dex = guarded({ allowIdTokenClaims: ['nonce', 'at_hash'] })
  expect(await dex.reasonOf(dex.token(plain, { typ: 'JWT' }))).toBe('accepted')
  expect(await dex.reasonOf(dex.token({ ...plain, c_hash: 'c' }, { typ: 'JWT' }))).toBe('type')
  expect(() => guarded({ allowIdTokenClaims: ['events'] })).toThrow(/allowIdTokenClaims/)
})

test('P6 maxTokenBytes lets longer tokens in, up to 64 KiB', async () => {
  const padding = 'x'.repeat(9000)
  const it = guarded({})
  const { error } = await it.ask(it.token({ padding }))
  expect(factsOf(error).reason).toBe('malformed')
  expect((error as Error).message).toContain('"maxTokenBytes"')
  const large = guarded({ maxTokenBytes: 16_384 })
  expect(await large.reasonOf(large.token({ padding }))).toBe('accepted')
  expect(() => guarded({ maxTokenBytes: 65_537 })).toThrow(/maxTokenBytes/)
})

test('P8 only discovery needs an issuer that is a URL', () => {
  const jwksUri = 'https://www.googleapis.com/oauth2/v3/certs'
  const google = { issuer: 'accounts.google.com', audience: 'api' }
  expect(() => requireAuth({ ...google, jwksUri })).not.toThrow()
  expect(() => requireAuth(google)).toThrow(/"issuer" must be an https: URL/)
})

test('P9 key servers that know application/jwk-set+json only are asked for that too', async () => {
  let accept = ''
  const fetch = async (_url: unknown, init?: RequestInit) => {
    accept = new Headers(init?.headers).get('accept') ?? ''
    return Response.json({ keys: [makeSigner('ES256').publicJwk] })
  }
  const guard = requireAuth({ issuer, audience: 'x', jwksUri: 'https://issuer.test/k', fetch })
  await guard.ready()
  await guard.close()
  expect(accept.split(', ')).toEqual(['application/json', 'application/jwk-set+json'])
})

test('P10 close() ends a fetch that is under way, and ready() rejects', async () => {
  let aborted = false
  const fetch = async (_url: unknown, init?: RequestInit) =>
    new Promise<Response>((_resolve, reject) => {
      init?.signal?.addEventListener('abort', () => {
        aborted = true
        reject(new Error('aborted'))
      })
    })
  const guard = requireAuth({ issuer, audience: 'x', jwksUri: 'https://issuer.test/k', fetch })
  const ready = guard.ready()
  await Promise.resolve()
  await guard.close()
  await expect(ready).rejects.toThrow(/closed/)
  expect(aborted).toBe(true)
})

test('P11 Ed25519 is among the defaults', async () => {
  const signer = makeSigner('EdDSA')
  const { alg: _alg, ...any } = signer.publicJwk
  const it = guarded({ jwks: { keys: [any] } }, { signer })
  expect(await it.reasonOf(it.token({}, { alg: 'Ed25519' }))).toBe('accepted')
  const only = guarded({ jwks: { keys: [any] }, algorithms: ['EdDSA'] }, { signer })
  expect(await only.reasonOf(only.token({}, { alg: 'Ed25519' }))).toBe('algorithm')
})

test('P13 a value is looked for inside of a claim that is an array; an absent claim asks no predicate', async () => {
  const it = guarded({})
  const ask = async (claims: object, ...expected: Parameters<typeof requireClaim>) => {
    const { error } = await run([it.guard, requireClaim(...expected)], bearer(it.token(claims)))
    return error === undefined ? 200 : factsOf(error).status
  }
  expect(await ask({ roles: ['a', 'admin'] }, 'roles', 'admin')).toBe(200)
  expect(await ask({ roles: ['a'] }, 'roles', 'admin')).toBe(403)
  expect(await ask({ roles: [['admin']] }, 'roles', 'admin')).toBe(403)
  const reads = (value: unknown) => (value as { id: number }).id === 1
  expect(await ask({}, 'tenant', reads)).toBe(403)
  expect(await ask({ tenant: { id: 1 } }, 'tenant', reads)).toBe(200)
})

test('N3 an iss that differs by a slash only is refused with a message that says so', async () => {
  const it = guarded({})
  const { error } = await it.ask(it.token({ iss: `${issuer}/` }))
  expect(factsOf(error).reason).toBe('issuer')
  expect((error as Error).message).toContain(`"${issuer}/"`)
  expect((error as Error).message).toContain('by a slash only')
})

test('28 long tokens are remembered by size too', async () => {
  const it = guarded({})
  const { getHeapStatistics } = await import('node:v8')
  const { setFlagsFromString } = await import('node:v8')
  setFlagsFromString('--expose-gc')
  const { runInNewContext } = await import('node:vm')
  const collect = runInNewContext('gc') as () => void
  collect()
  const before = getHeapStatistics().used_heap_size
  const padding = 'x'.repeat(5000)
  for (let index = 0; index < 4000; index++) await it.ask(it.token({ padding, jti: `j${index}` }))
  collect()
  const grownMb = (getHeapStatistics().used_heap_size - before) / 1024 / 1024
  expect(grownMb).toBeLessThan(45)
}, 30_000)

test('33 the types say what is frozen, and guards keep the types of the route', () => {
  const app = express()
  const config = { audience: ['a', 'b'], algorithms: ['ES256'] } as const
  const guard = requireAuth({ issuer, ...config, jwks: { keys: [makeSigner('ES256').publicJwk] } })
  closers.push(async () => guard.close())
  app.get('/a/:id', guard, requireScope('x'), cutOnKickOut(), (req, res) => {
    const id: string = req.params.id
    const auth = getAuth(req)
    // What the MCP SDK's AuthInfo asks for.
    const scopes: string[] = auth.scopes
    // @ts-expect-error a frozen array
    auth.scopes.push('x')
    // @ts-expect-error a frozen object
    auth.clientId = id
    res.json(scopes)
  })
  expect(app).toBeDefined()
})

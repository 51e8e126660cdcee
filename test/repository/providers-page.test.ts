import { afterEach, expect, test } from '@jest/globals'
import {
  getAuth,
  type KickOutTarget,
  memoryRevocations,
  requireAuth,
  requireClaim,
  type RequireAuthOptions,
  requireScope,
} from '../../src/index.ts'
import { blocksOf, readPage } from '../support/documentation.ts'
import { bearer, factsOf, run } from '../support/guarded.ts'
import { makeSigner } from '../support/make-token.ts'

/*
 * docs/getting-started.md, provider by provider: its guard accepts an access token as the provider writes it, reads scopes
 * and roles where the page says they are, and refuses it after a kick-out that names what the page names.
 */

const page = 'docs/getting-started.md'
const signer = makeSigner('RS256')
const guards: { close(): Promise<void> }[] = []

afterEach(async () => {
  await Promise.all(guards.splice(0).map(async (guard) => guard.close()))
})

/** The options of the sample below a heading. `index` counts its samples that call requireAuth. */
function optionsBelow(heading: string, index = 0): RequireAuthOptions {
  const [, below = ''] = readPage(page).split(`\n## ${heading}\n`)
  const [section = ''] = below.split('\n## ')
  const samples = blocksOf(page, section).filter(({ shown }) => shown.includes('requireAuth('))
  const code = samples[index]!.shown.replace(/^import .*$/gm, '').replace(
    'export const guard =',
    'return',
  )
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the text of our own page
  const sample = new Function('requireAuth', 'isCustomer', code) as (
    ...given: unknown[]
  ) => RequireAuthOptions
  return sample(
    (options: RequireAuthOptions) => options,
    (tenant: string) => tenant.startsWith('0000'),
  )
}

const now = Math.floor(Date.now() / 1000)
const tenant = '00000000-0000-0000-0000-000000000000'
const entraIssuer = `https://login.microsoftonline.com/${tenant}/v2.0`
const entra = {
  header: { typ: 'JWT' },
  claims: {
    iss: entraIssuer,
    aud: '11111111-1111-1111-1111-111111111111',
    sub: 'pairwise-subject',
    oid: '22222222-2222-2222-2222-222222222222',
    tid: tenant,
    azp: '33333333-3333-3333-3333-333333333333',
    scp: 'reports:read',
    roles: ['Admin'],
    uti: 'a-token-id',
    ver: '2.0',
    exp: now + 5400,
  },
  role: ['roles', 'Admin'],
  targets: [
    { subject: '22222222-2222-2222-2222-222222222222' },
    { token: { jti: 'a-token-id' } },
    { client: '33333333-3333-3333-3333-333333333333' },
  ],
} as const

interface Provider {
  readonly header: object
  readonly claims: Readonly<Record<string, unknown>> & { readonly iss: string }
  readonly role?: readonly [claim: string, value: string]
  readonly targets: readonly KickOutTarget[]
  /** Claims of an ID token of the provider, where it is refused for what it is. */
  readonly idToken?: object
}

const providers: Record<string, Provider & { readonly sample?: number }> = {
  Auth0: {
    header: { typ: 'JWT' },
    claims: {
      iss: 'https://TENANT.eu.auth0.com/',
      sub: 'auth0|123',
      aud: ['https://api.example.com', 'https://TENANT.eu.auth0.com/userinfo'],
      azp: 'a-client',
      scope: 'openid profile reports:read',
      permissions: ['reports:read'],
      exp: now + 86_400,
    },
    role: ['permissions', 'reports:read'],
    targets: [{ subject: 'auth0|123' }, { client: 'a-client' }],
    idToken: { aud: 'a-client', nonce: 'n' },
  },
  'Entra ID': entra,
  'Entra ID, many tenants': { ...entra, sample: 1 },
  Keycloak: {
    header: { typ: 'JWT' },
    claims: {
      iss: 'https://sso.example.com/realms/shop',
      aud: ['shop-api', 'account'],
      sub: 'a-user-id',
      typ: 'Bearer',
      azp: 'shop-web',
      nonce: 'as before version 25',
      sid: 'a-session',
      jti: 'onrtac:1',
      realm_access: { roles: ['admin'] },
      scope: 'email reports:read',
      exp: now + 300,
    },
    targets: [{ subject: 'a-user-id' }, { session: 'a-session' }],
    idToken: { typ: 'ID' },
  },
  Okta: {
    header: { typ: undefined },
    claims: {
      iss: 'https://ORG.okta.com/oauth2/default',
      aud: 'api://default',
      sub: 'ada@example.com',
      uid: '00u1',
      cid: '0oa1',
      scp: ['openid', 'reports:read'],
      jti: 'AT.1',
      ver: 1,
      exp: now + 3600,
    },
    targets: [{ subject: 'ada@example.com' }, { subject: '00u1' }, { client: '0oa1' }],
  },
  'Amazon Cognito': {
    header: { typ: undefined },
    claims: {
      iss: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123',
      sub: 'a-user-id',
      client_id: '2a3b4c5d6e7f8g9h0i1j2k3l4m',
      origin_jti: 'a-sign-in',
      jti: 'a-token',
      token_use: 'access',
      scope: 'reports:read',
      'cognito:groups': ['admins'],
      username: 'ada',
      exp: now + 86_400,
    },
    role: ['cognito:groups', 'admins'],
    targets: [{ subject: 'a-user-id' }, { session: 'a-sign-in' }],
    idToken: { token_use: 'id', aud: '2a3b4c5d6e7f8g9h0i1j2k3l4m' },
  },
}

test.each(Object.entries(providers))('%s', async (name, provider) => {
  const { header, claims, role, targets, idToken, sample = 0 } = provider
  const documented = optionsBelow(name.split(',')[0]!, sample)
  const keys = { jwks: { keys: [signer.publicJwk] } }
  const { issuer } = documented
  // The keys are this test's, wherever the page says that they are.
  const own =
    typeof issuer === 'function'
      ? {
          issuer: async (iss: string) => {
            const entry = await issuer(iss)
            if (!entry) return undefined
            const { jwksUri: _, ...rest } = entry
            return { ...rest, ...keys }
          },
        }
      : keys
  const token = signer.sign({ iat: now, ...claims }, header)
  for (const target of targets) {
    const revocations = memoryRevocations({ issuer: claims.iss })
    const guard = requireAuth({ ...documented, ...own, revocations })
    guards.push(guard)
    const roleGuard = role ? [requireClaim(role[0], role[1])] : []
    const before = await run([guard, requireScope('reports:read'), ...roleGuard], bearer(token))
    expect(before.error).toBeUndefined()
    expect(getAuth(before.req as never).clientId).not.toBe('')
    await revocations.kickOut(target)
    expect(factsOf((await run(guard, bearer(token))).error)).toMatchObject({ reason: 'revoked' })
    if (idToken) {
      const sent = bearer(signer.sign({ iat: now, ...claims, ...idToken }, header))
      const { error } = await run(guard, sent)
      expect(['type', 'audience']).toContain(factsOf(error).reason)
    }
  }
})

test('Entra ID, many tenants: a tenant that is no customer is refused', async () => {
  const guard = requireAuth(optionsBelow('Entra ID', 1))
  guards.push(guard)
  const iss = entraIssuer.replaceAll('0', '9')
  const { error } = await run(guard, bearer(signer.sign({ iat: now, ...entra.claims, iss }, {})))
  expect(factsOf(error)).toMatchObject({ status: 401, reason: 'issuer' })
})

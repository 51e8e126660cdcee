import { UnavailableError } from '../errors.ts'
import { optionError } from '../options.ts'
import type { Revocation } from '../revocation/revocation.ts'
import { defaultRetentionSeconds, type Revocations } from '../revocation/revocations.ts'
import type { RequireAuthOptions } from './require-auth-options.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The only variables that are read, and only here. */
export const environmentVariables = {
  issuer: 'ISSUER_BASE_URL',
  audience: 'AUDIENCE',
  jwksUri: 'JWKS_URI',
  redisUrl: 'KICKOUT_REDIS_URL',
} as const

/** An empty variable is an absent one: that is how deployments unset them. */
function read(
  environment: Environment,
  name: keyof typeof environmentVariables,
): string | undefined {
  const value = environment[environmentVariables[name]]
  return value === '' ? undefined : value
}

/**
 * `Revocations` on the Redis at a URL. The Redis code is loaded on first use, so that a server without it never does.
 */
function revocationsFromUrl(url: string, issuer: string | undefined): Revocations {
  let loading: Promise<Revocations> | undefined
  let loaded: Revocations | undefined
  let closed = false
  /** Listeners that came before the code did, and from then on the way to stop each. */
  const listeners = new Map<(revocation: Revocation) => void, (() => void) | undefined>()

  async function load(): Promise<Revocations> {
    if (closed) throw new UnavailableError('revocations', 'These revocations were closed')
    loading ??= import('../redis/client/from-url.ts').then(async ({ redisRevocationsFromUrl }) => {
      const revocations = await redisRevocationsFromUrl(url, issuer === undefined ? {} : { issuer })
      for (const listener of listeners.keys()) {
        listeners.set(listener, revocations.onKickOut(listener))
      }
      loaded = revocations
      return revocations
    })
    return loading
  }

  return {
    ...(issuer !== undefined && { issuer }),
    retentionSeconds: defaultRetentionSeconds,
    kickOut: async (target, options) => (await load()).kickOut(target, options),
    check(claims) {
      if (loaded) return loaded.check(claims)
      load().catch(() => undefined)
      throw new UnavailableError('revocations', 'The Redis client is still being loaded')
    },
    onKickOut(listener) {
      if (loaded) return loaded.onKickOut(listener)
      listeners.set(listener, undefined)
      return () => {
        listeners.get(listener)?.()
        listeners.delete(listener)
      }
    },
    status: () =>
      loaded?.status() ?? { state: closed ? 'closed' : 'starting', stalenessMs: 0, entries: 0 },
    ready: async () => (await load()).ready(),
    async close() {
      closed = true
      const revocations = await loading?.catch(() => undefined)
      await revocations?.close()
    },
  }
}

function assertRedisUrl(url: string): void {
  if (URL.canParse(url) && /^rediss?:$/.test(new URL(url).protocol)) return
  throw optionError(
    'requireAuth',
    'revocations',
    `cannot be made: ${environmentVariables.redisUrl} must be a redis: or rediss: URL`,
  )
}

/**
 * Completes options from the environment. `KICKOUT_REDIS_URL` counts wherever "revocations" is not given.
 *
 * @throws TypeError that names the option and the variable
 */
export function withEnvironment(
  options: RequireAuthOptions | undefined,
  environment: Environment = process.env,
): RequireAuthOptions {
  // `null` is no more an option than it is options; the check that follows says so.
  const given = options === undefined ? {} : options
  if (typeof given !== 'object' || (given as unknown) === null || Array.isArray(given)) return given
  const issuer = given.issuer === undefined ? read(environment, 'issuer') : given.issuer
  const audience = given.audience === undefined ? read(environment, 'audience') : given.audience
  const namesKeys = given.jwks !== undefined || given.jwksUri !== undefined || Array.isArray(issuer)
  const jwksUri = namesKeys ? given.jwksUri : read(environment, 'jwksUri')
  const redisUrl = given.revocations === undefined ? read(environment, 'redisUrl') : undefined
  if (redisUrl !== undefined) assertRedisUrl(redisUrl)
  return {
    ...given,
    ...(issuer !== undefined && { issuer }),
    ...(audience !== undefined && { audience }),
    ...(jwksUri !== undefined && { jwksUri }),
    ...(redisUrl !== undefined && {
      revocations: revocationsFromUrl(redisUrl, typeof issuer === 'string' ? issuer : undefined),
    }),
  }
}

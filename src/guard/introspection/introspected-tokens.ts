import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { AuthError, UnavailableError } from '../../errors.ts'
import { type Filing, VerifiedCache, type VerifiedTokens } from '../token/verified-cache.ts'
import { assertNotExpired, type VerifiedToken } from '../token/verifier.ts'
import { type AnswerPolicy, type IntrospectedTrust, toIntrospectedToken } from './answer.ts'
import { type EndpointDeps, IntrospectionEndpoint } from './endpoint.ts'

export interface IntrospectionDeps extends EndpointDeps {
  readonly policy: AnswerPolicy
  /** Good tokens that are remembered at once. */
  readonly maxCachedTokens: number
  /** The longest token that is asked about, bytes. */
  readonly maxTokenBytes: number
}

/** Tokens that the issuer was asked about. */
export interface IntrospectedTokens extends VerifiedTokens {
  ready(): Promise<void>
  close(): void
}

/** For how long the answer that a token is not active is kept. */
const inactiveMs = 5000
/** How many such answers are kept, some 150 bytes each. */
const maxInactive = 10_000

/** Measured by the text of the claims: as objects they take about twice that. */
const introspected: Filing = {
  placeOf: (token) => token,
  sizeOf: ({ token, claims }) => token.length + 3 * JSON.stringify(claims).length,
}

function inactive(): AuthError {
  return new AuthError('invalid_token', 'inactive', 'The issuer says that the token is not active')
}

/** Asks the issuer about tokens, and remembers those that are not active. */
class Introspection {
  readonly #trust: IntrospectedTrust
  readonly #deps: IntrospectionDeps
  readonly #endpoint: IntrospectionEndpoint
  /** By hash, since a token may be long: until when the answer is kept. */
  readonly #inactive = new LRUCache<string, number>({ max: maxInactive })

  constructor(trust: IntrospectedTrust, deps: IntrospectionDeps, endpoint: IntrospectionEndpoint) {
    this.#trust = trust
    this.#deps = deps
    this.#endpoint = endpoint
  }

  /**
   * @throws AuthError for a token that is not active, not for this server, or bound to what it does not check
   * @throws UnavailableError when the issuer did not answer
   */
  async verify(token: string): Promise<VerifiedToken> {
    const { clock, maxTokenBytes, policy } = this.#deps
    if (token.length > maxTokenBytes) {
      throw new AuthError(
        'invalid_token',
        'malformed',
        `The token is longer than ${maxTokenBytes} bytes; the option "maxTokenBytes" of requireAuth can raise that`,
      )
    }
    const place = createHash('sha256').update(token).digest('base64url')
    const inactiveUntil = this.#inactive.get(place)
    if (inactiveUntil !== undefined && clock.monotonic() < inactiveUntil) throw inactive()
    const askedAt = clock.monotonic()
    const answer = await this.#endpoint.ask(token)
    const active = (answer as { active?: unknown } | null)?.active
    if (active === false) {
      this.#inactive.set(place, clock.monotonic() + inactiveMs)
      throw inactive()
    }
    if (active !== true || Array.isArray(answer)) {
      throw new UnavailableError(
        'introspection',
        `The introspection endpoint of ${this.#trust.issuer} sent JSON that is no introspection answer (RFC 7662 §2.2)`,
      )
    }
    const { cacheSeconds } = this.#trust.introspection
    // As of the asking: what the issuer took back while its answer was under way counts no longer for it.
    const freshUntil = askedAt + cacheSeconds * 1000
    const verified = toIntrospectedToken(token, answer as object, this.#trust, policy, clock, {
      isUsable: (exp) => clock.monotonic() < freshUntil && clock.now() < exp * 1000,
    })
    assertNotExpired(verified, clock)
    return verified
  }
}

/** Tokens of an issuer that is asked about them. One call per token at a time. */
export function createIntrospectedTokens(
  trust: IntrospectedTrust,
  deps: IntrospectionDeps,
): IntrospectedTokens {
  const endpoint = new IntrospectionEndpoint(trust.issuer, trust.introspection, deps)
  const maxTokens = trust.introspection.cacheSeconds > 0 ? deps.maxCachedTokens : 0
  const cache = new VerifiedCache(new Introspection(trust, deps, endpoint), maxTokens, introspected)
  return {
    get: (token) => cache.get(token),
    forget: (token) => {
      cache.forget(token)
    },
    verify: async (token) => cache.verify(token),
    ready: async () => endpoint.ready(),
    close: () => {
      endpoint.close()
    },
  }
}

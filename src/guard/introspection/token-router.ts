import type { VerifiedTokens } from '../token/verified-cache.ts'
import type { VerifiedToken } from '../token/verifier.ts'
import type { IntrospectedTrust } from './answer.ts'
import type { IntrospectedTokens, IntrospectionDeps } from './introspected-tokens.ts'

function hasThreeParts(token: string): boolean {
  const second = token.indexOf('.', token.indexOf('.') + 1)
  return second > 0 && token.indexOf('.', second + 1) < 0
}

/** Whose JWT it says it is, unverified; `undefined` for what is no JWT. */
function issuerOf(token: string): unknown {
  if (!hasThreeParts(token)) return undefined
  try {
    const payload = Buffer.from(token.split('.', 2)[1] ?? '', 'base64url').toString()
    return (JSON.parse(payload) as { iss?: unknown } | null)?.iss
  } catch {
    return undefined
  }
}

/**
 * Verifies here what can be verified here, and has the issuer asked about the rest. The code that asks is loaded on first
 * use.
 */
export class TokenRouter implements VerifiedTokens {
  readonly #local: VerifiedTokens
  readonly #trust: IntrospectedTrust
  readonly #deps: IntrospectionDeps
  #loading: Promise<IntrospectedTokens> | undefined
  #introspected: IntrospectedTokens | undefined
  #isClosed = false

  constructor(local: VerifiedTokens, trust: IntrospectedTrust, deps: IntrospectionDeps) {
    this.#local = local
    this.#trust = trust
    this.#deps = deps
  }

  get(token: string): VerifiedToken | undefined {
    // A token is in one of the two at most.
    if (this.#trust.introspection.jwt)
      return this.#introspected?.get(token) ?? this.#local.get(token)
    return hasThreeParts(token) ? this.#local.get(token) : this.#introspected?.get(token)
  }

  forget(token: string): void {
    this.#introspected?.forget(token)
    this.#local.forget(token)
  }

  async verify(token: string): Promise<VerifiedToken> {
    if (this.#isLocal(token)) return this.#local.verify(token)
    return (this.#introspected ?? (await this.#load())).verify(token)
  }

  /** Resolves when the endpoint is known. */
  async ready(): Promise<void> {
    await (await this.#load()).ready()
  }

  close(): void {
    this.#isClosed = true
    this.#introspected?.close()
  }

  /** A JWT of another issuer is none of this one's business, whatever is introspected. */
  #isLocal(token: string): boolean {
    if (!hasThreeParts(token)) return false
    if (!this.#trust.introspection.jwt) return true
    const issuer = issuerOf(token)
    return typeof issuer === 'string' && issuer !== this.#trust.issuer
  }

  async #load(): Promise<IntrospectedTokens> {
    this.#loading ??= import('./introspected-tokens.ts').then(({ createIntrospectedTokens }) => {
      const tokens = createIntrospectedTokens(this.#trust, this.#deps)
      this.#introspected = tokens
      if (this.#isClosed) tokens.close()
      return tokens
    })
    return this.#loading
  }
}

import { claimsAt, makeSigner, type Signer } from '../../support/make-token.ts'

/** Signs for the issuer of the drills, in this process, so that a drill has as many people as it wants at once. */
export class People {
  readonly signer: Signer = makeSigner('ES256')
  readonly #tokens = new Map<string, string>()
  readonly #innocent: string[] = []
  #turn = 0

  get jwks(): { readonly keys: readonly Signer['publicJwk'][] } {
    return { keys: [this.signer.publicJwk] }
  }

  get signingKey(): Record<string, unknown> {
    return {
      ...this.signer.privateKey.export({ format: 'jwk' }),
      kid: this.signer.kid,
      alg: this.signer.alg,
    }
  }

  /** A user with a token of now. */
  add(subject: string, claims: object = {}): string {
    const nowMs = Date.now()
    const token = this.signer.sign(
      claimsAt(nowMs / 1000, {
        sub: subject,
        sid: `s-${subject}`,
        session_version: nowMs - 1000,
        exp: Math.floor(nowMs / 1000) + 3000,
        ...claims,
      }),
    )
    this.#tokens.set(subject, token)
    return token
  }

  /** People who are never kicked out. */
  addInnocent(count: number): void {
    for (let index = 0; index < count; index++) {
      this.add(`innocent-${index}`)
      this.#innocent.push(`innocent-${index}`)
    }
  }

  /** @throws Error for a user who was not added: a token made now would be younger than a kick-out */
  tokenOf(subject: string): string {
    const token = this.#tokens.get(subject)
    if (token === undefined) throw new Error(`${subject} was never added`)
    return token
  }

  /** The next of the innocent, round and round. */
  nextInnocent(): { subject: string; token: string } {
    const subject = this.#innocent[this.#turn++ % this.#innocent.length] ?? 'innocent-0'
    return { subject, token: this.tokenOf(subject) }
  }

  admin(): string {
    return this.add('the-admin', { scope: 'sessions:admin' })
  }
}

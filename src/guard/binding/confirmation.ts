import { AuthError } from '../../errors.ts'

/** How the holder of a bound token proves that it is theirs, as members of `cnf`. */
export type ConfirmationMethod = 'jkt' | 'x5t#S256'

/** What a token is bound to. */
export interface Confirmation {
  /** The SHA-256 thumbprint of the key that DPoP proofs are made with. */
  readonly jkt?: string
  /** The SHA-256 thumbprint of the client's certificate. */
  readonly certificate?: string
}

const sha256 = /^[A-Za-z0-9_-]{43}$/

function refuse(message: string): never {
  throw new AuthError('invalid_token', 'binding', message)
}

/**
 * Reads the `cnf` of a token. A method that this guard does not check is refused rather than ignored: an ignored binding
 * would make the token a plain bearer.
 *
 * @returns `undefined` for a token that is not bound
 * @throws AuthError `binding`
 * @see RFC 7800 §3, RFC 9449 §6.1, RFC 8705 §3.1
 */
export function readConfirmation(
  cnf: unknown,
  accepted: ReadonlySet<ConfirmationMethod>,
): Confirmation | undefined {
  if (cnf === undefined) return undefined
  if (accepted.size === 0) {
    refuse('The token is bound to a key (DPoP or mTLS) and was sent as a plain bearer')
  }
  if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) {
    return refuse('The "cnf" of the token is not an object')
  }
  const members = Object.entries(cnf) as [string, unknown][]
  if (members.length === 0) refuse('The "cnf" of the token is empty')
  for (const [method, thumbprint] of members) {
    if (!(accepted as ReadonlySet<string>).has(method)) {
      refuse(
        'The token is bound in a way that this guard does not check: the options "dpop" and "mtls" turn checks on',
      )
    }
    if (typeof thumbprint !== 'string' || !sha256.test(thumbprint)) {
      refuse('The "cnf" of the token has no SHA-256 thumbprint')
    }
  }
  const { jkt, 'x5t#S256': certificate } = cnf as Partial<Record<ConfirmationMethod, string>>
  return {
    ...(jkt !== undefined && { jkt }),
    ...(certificate !== undefined && { certificate }),
  }
}

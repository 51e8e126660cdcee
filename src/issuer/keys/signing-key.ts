import { createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto'
import type { JWK, JWTPayload } from 'jose'
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint'
import { CompactSign } from 'jose/jws/compact/sign'
import { exportJWK } from 'jose/key/export'
import { generateKeyPair } from 'jose/key/generate/keypair'
import { importJWK } from 'jose/key/import'
import { signingAlgorithms } from '../../key-store/key-store.ts'

/** A private JWK: the key that access tokens are signed with. */
export type SigningJwk = JWK

/** What signs access tokens. */
export interface Signer {
  readonly kid: string
  readonly algorithm: string
  /** Whether another service makes the signature, so that it may fail, and takes its time. */
  readonly isExternal: boolean
  /** @throws UnavailableError when an external signature cannot be had */
  sign(payload: JWTPayload): Promise<string>
}

/** One key, ready for use. */
export interface LoadedKey {
  /** Absent where only the public half is left. */
  readonly signer: Signer | undefined
  /** As it is published: no private member, with `kid`, `alg` and `use`. */
  readonly publicJwk: JWK & { readonly kid: string; readonly alg: string }
}

const algorithmOfCurve: Readonly<Record<string, string>> = {
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
  Ed25519: 'EdDSA',
}

const publicMembers = ['kty', 'crv', 'n', 'e', 'x', 'y'] as const
/** Members that only a private or a symmetric key has. */
export const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const
const minModulusLength = 342 // base64url characters of 2048 bits

export function keyError(option: string, expectation: string): TypeError {
  return new TypeError(`createIssuer: option "${option}" ${expectation}`)
}

/** The header of every access token, RFC 9068 §2.1. */
export function headerOf({ kid, algorithm }: { kid: string; algorithm: string }) {
  return { alg: algorithm, typ: 'at+jwt', kid }
}

function readAlgorithm(option: string, jwk: JWK): string {
  const byType = jwk.kty === 'RSA' ? 'RS256' : algorithmOfCurve[jwk.crv ?? '']
  const algorithm = jwk.alg ?? byType
  const fits =
    jwk.kty === 'RSA'
      ? /^[RP]S/.test(algorithm ?? '')
      : algorithm === byType || (algorithm === 'Ed25519' && byType === 'EdDSA')
  if (algorithm === undefined || !fits || !signingAlgorithms.some((known) => known === algorithm)) {
    throw keyError(
      option,
      `must have an "alg" of ${signingAlgorithms.join(', ')} that fits its key type, or a key type that implies one`,
    )
  }
  return algorithm
}

/** Found out at creation rather than at the first login. What the parser says is left out: it may quote the key. */
function assertReadable(option: string, key: JWK): void {
  let own: JsonWebKey | undefined
  try {
    const input = { key: { ...key }, format: 'jwk' } as const
    const readable = key.d === undefined ? input : createPrivateKey(input)
    own = createPublicKey(readable).export({
      format: 'jwk',
    })
  } catch {
    // Below: it has no public part.
  }
  if (!own || publicMembers.some((member) => own[member] !== key[member])) {
    throw keyError(option, 'cannot be read: some of its members are missing or do not fit together')
  }
}

/** A JWK that was checked, private or public. */
export interface CheckedJwk {
  readonly jwk: JWK
  readonly algorithm: string
}

/**
 * Checks a key as far as that is possible without waiting.
 *
 * @throws TypeError that names the option and never quotes the key
 */
export function checkJwk(option: string, given: JWK): CheckedJwk {
  const jwk = structuredClone(given)
  const algorithm = readAlgorithm(option, jwk)
  if (jwk.kty === 'RSA' && (jwk.n?.length ?? 0) < minModulusLength) {
    throw keyError(option, 'must be an RSA key of 2048 bits or more')
  }
  assertReadable(option, jwk)
  if (jwk.kid !== undefined && (typeof jwk.kid !== 'string' || jwk.kid === '')) {
    throw keyError(option, 'has a "kid" that is not a non-empty string')
  }
  return { jwk, algorithm }
}

/** The half that may be published. */
export async function publicJwkOf({ jwk, algorithm }: CheckedJwk): Promise<LoadedKey['publicJwk']> {
  const kid = jwk.kid ?? (await calculateJwkThumbprint(jwk))
  const members = publicMembers.flatMap((member) =>
    jwk[member] === undefined ? [] : [[member, jwk[member]]],
  )
  return { ...(Object.fromEntries(members) as JWK), kid, alg: algorithm, use: 'sig' }
}

/** Makes a checked key ready to sign, where it is private, and to be published. */
export async function loadKey(checked: CheckedJwk): Promise<LoadedKey> {
  const publicJwk = await publicJwkOf(checked)
  const { jwk, algorithm } = checked
  if (jwk.d === undefined) return { signer: undefined, publicJwk }
  const key = await importJWK(jwk, algorithm)
  const { kid } = publicJwk
  const header = headerOf({ kid, algorithm })
  const signer: Signer = {
    kid,
    algorithm,
    isExternal: false,
    // `SignJWT` would clone the claims and read each once more, a fifth of the cost of a signature.
    sign: async (payload) => {
      const claims = new TextEncoder().encode(JSON.stringify(payload))
      return new CompactSign(claims).setProtectedHeader(header).sign(key)
    },
  }
  return { signer, publicJwk }
}

/** The `kid`s of keys that this process has made. A bounded handful: each takes milliseconds to make. */
const madeHere = new Set<string>()

/** The `kid` of a key that this process has made: another process, or this one after a restart, has another key. */
export function kidMadeHere(jwk: object): string | undefined {
  const { kid } = jwk as JWK
  return kid !== undefined && madeHere.has(kid) ? kid : undefined
}

/** Makes a private signing key, with `kid`, `alg` and `use`. Keep it secret; every process of the issuer needs the same. */
export async function generateSigningKey(algorithm = 'ES256'): Promise<SigningJwk> {
  const jwk = await makeKey(algorithm)
  madeHere.add(jwk.kid)
  return jwk
}

/** A new private key that will be kept. */
export async function makeKey(algorithm: string): Promise<JWK & { readonly kid: string }> {
  if (!signingAlgorithms.some((known) => known === algorithm)) {
    throw new TypeError(
      `generateSigningKey: the algorithm must be one of ${signingAlgorithms.join(', ')}`,
    )
  }
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint(jwk)
  return { ...jwk, kid, alg: algorithm, use: 'sig' }
}

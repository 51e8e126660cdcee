import type { JWK } from 'jose'
import { importJWK } from 'jose/key/import'

/** The asymmetric algorithms that jose verifies and a guard may be told to accept. */
export const supportedAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

const ellipticCurveOf: Readonly<Record<string, string>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
  EdDSA: 'Ed25519',
  Ed25519: 'Ed25519',
}

const maxKeys = 256
const minModulusBits = 2048
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'] as const

type CryptoKey = Exclude<Awaited<ReturnType<typeof importJWK>>, Uint8Array>

/** One public key of a set. Keeps its identity across refreshes as long as the set goes on publishing it unchanged. */
export interface VerificationKey {
  readonly kid: string | undefined
  /** The JWK's members that make it this key and no other. */
  readonly identity: string
  /** Whether the key may verify this algorithm: by its type and curve, and by its own `alg` if it has one. */
  fits(algorithm: string): boolean
  /** The imported key; imported once per algorithm. */
  forAlgorithm(algorithm: string): Promise<CryptoKey>
  /** Set when a refreshed set no longer has the key. Tokens verified with it are then worth nothing. */
  retired: boolean
}

/** Why a whole key set is refused. The text never quotes the answer. */
class JwksRefused extends Error {
  override readonly name = 'JwksRefused'
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return typeof value === 'string' && /^[A-Za-z0-9_-]+$/.test(value)
    ? Buffer.from(value, 'base64url')
    : undefined
}

function bitLength(bytes: Uint8Array): number {
  const first = bytes.findIndex((byte) => byte !== 0)
  return first < 0 ? 0 : (bytes.length - first) * 8 - (Math.clz32(bytes[first] ?? 0) - 24)
}

function isSoundRsa(jwk: JWK): boolean {
  const modulus = bytesOf(jwk.n)
  const exponent = bytesOf(jwk.e)
  if (!modulus || !exponent || bitLength(modulus) < minModulusBits) return false
  const isOdd = ((exponent.at(-1) ?? 0) & 1) === 1
  return isOdd && bitLength(exponent) >= 2
}

function fits(jwk: JWK, algorithm: string): boolean {
  if (jwk.alg !== undefined && jwk.alg !== algorithm) return false
  const curve = ellipticCurveOf[algorithm]
  if (curve === undefined) return jwk.kty === 'RSA'
  return jwk.kty === (curve === 'Ed25519' ? 'OKP' : 'EC') && jwk.crv === curve
}

function isMeantForVerifying(jwk: JWK): boolean {
  const forSignatures = jwk.use === undefined || jwk.use === 'sig'
  const operations: unknown = jwk.key_ops
  return (
    forSignatures &&
    (operations === undefined || (Array.isArray(operations) && operations.includes('verify')))
  )
}

function identityOf(jwk: JWK): string {
  return JSON.stringify([jwk.kid, jwk.kty, jwk.crv, jwk.n, jwk.e, jwk.x, jwk.y, jwk.alg])
}

/** A key that was left out of a set, and why: for the operator who wonders about a token that is refused. */
export interface DroppedKey {
  readonly kid: string | undefined
  readonly reason: string
}

/** Makes a key of a JWK. One that is unfit is left out alone, and says why. */
async function toVerificationKey(
  jwk: JWK,
  algorithms: ReadonlySet<string>,
): Promise<VerificationKey | string> {
  if (jwk.kid !== undefined && (typeof jwk.kid !== 'string' || jwk.kid === ''))
    return 'its "kid" is not a non-empty string'
  if (!isMeantForVerifying(jwk)) return 'its "use" or "key_ops" is not for verifying'
  if (jwk.kty === 'RSA' && !isSoundRsa(jwk))
    return `its modulus has less than ${minModulusBits} bits, or its exponent is even or below 3`
  const algorithm = [...algorithms].find((candidate) => fits(jwk, candidate))
  if (algorithm === undefined) return 'it fits none of the accepted algorithms'
  const imported = new Map<string, Promise<CryptoKey>>()
  const forAlgorithm = (wanted: string): Promise<CryptoKey> => {
    let key = imported.get(wanted)
    if (!key) {
      key = importJWK(jwk, wanted) as Promise<CryptoKey>
      imported.set(wanted, key)
    }
    return key
  }
  try {
    // Import checks what shape cannot: that the point is on its curve.
    await forAlgorithm(algorithm)
  } catch {
    return 'it cannot be imported'
  }
  return {
    kid: jwk.kid,
    identity: identityOf(jwk),
    fits: (wanted) => algorithms.has(wanted) && fits(jwk, wanted),
    forAlgorithm,
    retired: false,
  }
}

/**
 * Reads the shape of a JWK Set, without importing its keys.
 *
 * @throws JwksRefused for anything that a public key set never is: no or too many keys, symmetric or private members
 * @see RFC 7517 §5
 */
export function readJwks(document: unknown): JWK[] {
  const keys = (document as { keys?: unknown } | null | undefined)?.keys
  if (!Array.isArray(keys)) throw new JwksRefused('is not a JWK Set: it has no "keys" array')
  if (keys.length === 0) throw new JwksRefused('has no keys')
  if (keys.length > maxKeys) throw new JwksRefused(`has more than ${maxKeys} keys`)
  for (const key of keys as unknown[]) {
    if (typeof key !== 'object' || key === null || Array.isArray(key)) {
      throw new JwksRefused('has a key that is not an object')
    }
    const jwk = key as JWK
    if (jwk.kty === 'oct') throw new JwksRefused('has a symmetric key')
    if (privateMembers.some((member) => Object.hasOwn(jwk, member))) {
      throw new JwksRefused('has a private key')
    }
  }
  return keys as JWK[]
}

/**
 * Imports the usable keys of a set. Unfit keys, and repetitions of a key, are left out one by one.
 *
 * @throws JwksRefused when the set is refused as a whole, or nothing usable is left of it
 */
export async function importJwks(
  document: unknown,
  algorithms: ReadonlySet<string>,
): Promise<{ keys: VerificationKey[]; dropped: DroppedKey[] }> {
  const jwks = readJwks(document)
  const keys = new Map<string, VerificationKey>()
  const dropped: DroppedKey[] = []
  const imported = await Promise.all(jwks.map(async (jwk) => toVerificationKey(jwk, algorithms)))
  imported.forEach((key, index) => {
    const kid: unknown = jwks[index]?.kid
    const why = typeof key === 'string' ? key : keys.has(key.identity) ? 'it is there twice' : ''
    if (typeof key === 'string' || why !== '')
      dropped.push({ kid: typeof kid === 'string' ? kid.slice(0, 128) : undefined, reason: why })
    else keys.set(key.identity, key)
  })
  if (keys.size === 0) throw new JwksRefused('has no key that is fit for the accepted algorithms')
  return { keys: [...keys.values()], dropped }
}

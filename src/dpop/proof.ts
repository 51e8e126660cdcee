import { createHash } from 'node:crypto'
import type { JWK } from 'jose'
import { decodeProtectedHeader } from 'jose/decode/protected_header'
import { EmbeddedJWK } from 'jose/jwk/embedded'
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint'
import { jwtVerify } from 'jose/jwt/verify'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { isIdentifier, maxIdentifierLength } from '../identifier.ts'
import { normalizeTargetUri } from './target-uri.ts'

/** The algorithms of proofs that are accepted unless told otherwise: asymmetric, and what jose verifies. */
export const proofAlgorithms = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
] as const

/** How old a proof may be, seconds. The clock tolerance comes on top, in both directions. */
export const defaultProofMaxAgeSeconds = 60

export interface ProofPolicy {
  readonly algorithms: readonly string[]
  readonly maxAgeSeconds: number
  readonly clockToleranceSeconds: number
}

/** What a proof has to be made for. */
export interface ProofTarget {
  /** The method of the request, compared exactly. */
  readonly method: string
  /** The URI of the request, in the form of {@link normalizeTargetUri}; or a test of one in that form. */
  readonly uri: string | ((uri: string) => boolean)
  /** The access token that comes along. */
  readonly accessToken?: string
  /** The key that the proof has to be made with, by its SHA-256 thumbprint (RFC 7638). */
  readonly thumbprint?: string
}

export interface VerifiedProof {
  readonly jti: string
  readonly issuedAtMs: number
  readonly thumbprint: string
  readonly nonce: string | undefined
}

/** Why a proof is refused. `key`: it may be a good proof, but of another key. */
export class InvalidProof extends Error {
  override readonly name = 'InvalidProof'
  readonly isOfAnotherKey: boolean

  constructor(message: string, options: { isOfAnotherKey?: boolean } = {}) {
    super(message)
    this.isOfAnotherKey = options.isOfAnotherKey ?? false
  }
}

type VerificationKey = Awaited<ReturnType<typeof EmbeddedJWK>>

interface KnownKey {
  readonly thumbprint: string
  /** Imported on first use. */
  key: VerificationKey | undefined
}

/** Twice what a proof with an RSA key of 4096 bits takes. */
const maxProofLength = 4096
/** Keys that were imported, each some 2 KB. */
const maxKeys = 1000
const threeParts = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'] as const

function refuse(message: string): never {
  throw new InvalidProof(message)
}

interface ProofHeader {
  readonly alg: string
  readonly jwk: JWK
}

function readHeader(proof: string, policy: ProofPolicy): ProofHeader {
  if (proof.length > maxProofLength) refuse(`The proof is longer than ${maxProofLength} characters`)
  if (!threeParts.test(proof)) refuse('The proof is not a JWS in compact form')
  let header
  try {
    header = decodeProtectedHeader(proof)
  } catch {
    return refuse('The header of the proof cannot be read')
  }
  if (header.typ !== 'dpop+jwt') refuse('The "typ" of the proof is not dpop+jwt')
  const { alg } = header
  if (alg === undefined || !policy.algorithms.includes(alg)) {
    return refuse('The algorithm of the proof is not accepted')
  }
  const jwk: unknown = header.jwk
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) {
    return refuse('The proof has no "jwk"')
  }
  if (privateMembers.some((member) => Object.hasOwn(jwk, member))) {
    refuse('The "jwk" of the proof is not a public key')
  }
  return { alg, jwk: jwk }
}

/** The `ath` of an access token. */
function hashOf(accessToken: string): string {
  return createHash('sha256').update(accessToken).digest('base64url')
}

/**
 * Verifies DPoP proofs. It does not look whether a proof was used before, which is the business of a replay store.
 *
 * @see RFC 9449 §4.3
 */
export class ProofVerifier {
  readonly #policy: ProofPolicy
  readonly #clock: Clock
  /** By algorithm and the text of the JWK. A client signs all its proofs with one key. */
  readonly #keys = new LRUCache<string, KnownKey>({ max: maxKeys })

  constructor(policy: ProofPolicy, clock: Clock) {
    this.#policy = policy
    this.#clock = clock
  }

  /** How long a proof may be presented at most, milliseconds: for so long its `jti` has to be remembered. */
  get lifetimeMs(): number {
    const { maxAgeSeconds, clockToleranceSeconds } = this.#policy
    return (maxAgeSeconds + 2 * clockToleranceSeconds) * 1000
  }

  /** @throws InvalidProof (rejects with it) */
  async verify(proof: string, target: ProofTarget): Promise<VerifiedProof> {
    const header = readHeader(proof, this.#policy)
    const text = `${header.alg} ${JSON.stringify(header.jwk)}`
    const known = this.#keys.get(text) ?? {
      thumbprint: await thumbprintOf(header.jwk),
      key: undefined,
    }
    // Compared before the signature is verified: an attacker could choose a key whose verification is slow.
    if (target.thumbprint !== undefined && target.thumbprint !== known.thumbprint) {
      throw new InvalidProof('The proof is made with another key', { isOfAnotherKey: true })
    }
    const claims = await this.#verifySignature(proof, known)
    this.#keys.set(text, known)
    const { thumbprint } = known
    return { ...this.#readClaims(claims, target), thumbprint }
  }

  async #verifySignature(
    proof: string,
    known: KnownKey,
  ): Promise<Readonly<Record<string, unknown>>> {
    try {
      const { payload } = await jwtVerify(
        proof,
        async (header, token) => (known.key ??= await EmbeddedJWK(header, token)),
        {
          algorithms: [...this.#policy.algorithms],
          clockTolerance: this.#policy.clockToleranceSeconds,
          currentDate: new Date(this.#clock.now()),
        },
      )
      return payload
    } catch {
      // What jose says may quote the proof.
      return refuse('The proof does not verify')
    }
  }

  #readClaims(
    claims: Readonly<Record<string, unknown>>,
    target: ProofTarget,
  ): Omit<VerifiedProof, 'thumbprint'> {
    const { jti, htm, htu, iat, ath, nonce } = claims
    if (!isIdentifier(jti)) {
      return refuse(
        `The "jti" of the proof is not a text of 1 to ${maxIdentifierLength} characters`,
      )
    }
    if (htm !== target.method) refuse('The "htm" of the proof is not the method of the request')
    const uri = typeof htu === 'string' ? normalizeTargetUri(htu) : undefined
    const fits =
      uri !== undefined && (typeof target.uri === 'string' ? uri === target.uri : target.uri(uri))
    if (!fits) refuse('The "htu" of the proof is not the URI of the request')
    const { maxAgeSeconds, clockToleranceSeconds } = this.#policy
    if (typeof iat !== 'number' || !Number.isFinite(iat)) return refuse('The proof has no "iat"')
    const ageSeconds = this.#clock.now() / 1000 - iat
    if (ageSeconds > maxAgeSeconds + clockToleranceSeconds) refuse('The proof is too old')
    if (ageSeconds < -clockToleranceSeconds) refuse('The "iat" of the proof is in the future')
    if (target.accessToken !== undefined && ath !== hashOf(target.accessToken)) {
      refuse('The "ath" of the proof is not that of the access token')
    }
    if (nonce !== undefined && typeof nonce !== 'string') refuse('The "nonce" is not a text')
    return { jti, issuedAtMs: iat * 1000, nonce: nonce }
  }
}

async function thumbprintOf(jwk: JWK): Promise<string> {
  try {
    return await calculateJwkThumbprint(jwk)
  } catch {
    return refuse('The "jwk" of the proof is not a public key')
  }
}

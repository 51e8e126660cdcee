import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { encodeJson, makeSigner, type Signer, type SigningAlgorithm } from './make-token.ts'

/** A client's key, and proofs of it: good ones, and any other. */
export interface ProofKey {
  readonly signer: Signer
  readonly jwk: JWK
  /** The `jkt` of tokens that are bound to the key. */
  readonly thumbprint: string
  /**
   * A proof with these claims over good ones; `undefined` takes a claim away.
   *
   * @param header - over the good one
   */
  prove(claims: ProofClaims, header?: object): string
}

export interface ProofClaims {
  /** The access token that it is for. */
  readonly token?: string
  readonly htm?: unknown
  readonly htu?: unknown
  readonly [claim: string]: unknown
}

function athOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

export async function makeProofKey(
  alg: SigningAlgorithm = 'ES256',
  nowSeconds = () => Math.floor(Date.now() / 1000),
): Promise<ProofKey> {
  const signer = makeSigner(alg)
  const jwk = signer.publicKey.export({ format: 'jwk' }) as JWK
  return {
    signer,
    jwk,
    thumbprint: await calculateJwkThumbprint(jwk),
    prove({ token, ...claims }, header = {}) {
      const content = {
        jti: randomUUID(),
        htm: 'GET',
        iat: nowSeconds(),
        ...(token !== undefined && { ath: athOf(token) }),
        ...claims,
      }
      return signer.signText(
        JSON.stringify({ typ: 'dpop+jwt', alg, jwk, ...header }),
        JSON.stringify(content),
      )
    },
  }
}

/** A JWS with any header and an empty signature. */
export function unsigned(header: object, claims: object): string {
  return `${encodeJson(header)}.${encodeJson(claims)}.`
}

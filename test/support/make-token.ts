import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** Algorithms that a {@link Signer} can be made for. */
export type SigningAlgorithm = 'RS256' | 'PS256' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA'

export const issuer = 'https://issuer.test'
export const audience = 'https://api.test'

export type PublicJwk = Record<string, unknown> & { kid?: string }

/** Signs anything at all, well-formed or not. */
export interface Signer {
  readonly alg: SigningAlgorithm
  readonly kid: string
  readonly publicJwk: PublicJwk
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  /** Signs the bytes with this key, whatever they say. */
  signBytes(input: string): Buffer
  /** A token of these very texts. */
  signText(header: string | Uint8Array, payload: string | Uint8Array): string
  /** A token with these claims; the header is ours with the changes over it, `undefined` takes a parameter away. */
  sign(claims: object, header?: object): string
}

const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const

export function base64url(content: string | Uint8Array): string {
  return Buffer.from(content).toString('base64url')
}

export function encodeJson(value: unknown): string {
  return base64url(JSON.stringify(value))
}

function makePair(alg: SigningAlgorithm) {
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519')
  if (alg === 'RS256' || alg === 'PS256') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  return generateKeyPairSync('ec', { namedCurve: curves[alg] })
}

export function signWith(alg: string, key: KeyObject, input: string): Buffer {
  const data = Buffer.from(input)
  const hash = `sha${alg.slice(2)}`
  if (alg === 'EdDSA') return sign(null, data, key)
  if (alg.startsWith('RS')) return sign(hash, data, key)
  if (alg.startsWith('PS')) {
    const saltLength = Number(alg.slice(2)) / 8
    return sign(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
  }
  return sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
}

/** Makes a key pair on the spot and what signs with it. */
export function makeSigner(alg: SigningAlgorithm, kid = `${alg.toLowerCase()}-key`): Signer {
  const { publicKey, privateKey } = makePair(alg)
  const signBytes = (input: string): Buffer => signWith(alg, privateKey, input)
  const signText: Signer['signText'] = (header, payload) => {
    const input = `${base64url(header)}.${base64url(payload)}`
    return `${input}.${base64url(signBytes(input))}`
  }
  return {
    alg,
    kid,
    publicKey,
    privateKey,
    publicJwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' },
    signBytes,
    signText,
    sign: (claims, header = {}) =>
      signText(JSON.stringify({ alg, typ: 'at+jwt', kid, ...header }), JSON.stringify(claims)),
  }
}

/** The claims of a good access token, issued at a moment; changes go over them, `undefined` takes one away. */
export function claimsAt(nowSeconds: number, changes: object = {}) {
  const iat = Math.floor(nowSeconds)
  return {
    iss: issuer,
    sub: 'user-1',
    aud: audience,
    iat,
    exp: iat + 600,
    jti: `jti-${counter++}`,
    client_id: 'web',
    sid: 'sid-1',
    session_version: iat * 1000,
    scope: 'reports:read',
    ...changes,
  }
}

let counter = 0

import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import type { JWK } from 'jose'
import type { ExternalSigningKey } from '../../src/issuer/index.ts'

const signAsync = promisify(
  (
    hash: string | null,
    data: Uint8Array,
    key: Parameters<typeof sign>[2],
    done: (error: Error | null, signature: Buffer) => void,
  ) => sign(hash, data, key, done),
)

const keys: Record<string, () => { publicKey: KeyObject; privateKey: KeyObject }> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
}

/** A key management service in this process: a real key of node:crypto, which it alone has. */
export interface KeyService {
  readonly publicJwk: JWK
  readonly key: ExternalSigningKey
  /** How often it was asked. */
  readonly asked: number
  /** What it does instead of answering. */
  fault: 'none' | 'fails' | 'throws' | 'hangs' | 'garbage' | 'text' | 'other key' | 'other data'
}

/** @param form - of ECDSA signatures: most services return DER */
export function startKeyService(algorithm: string, form: 'der' | 'jose' = 'der'): KeyService {
  const make = keys[algorithm]
  if (!make) throw new Error(`There is no key of ${algorithm}`)
  const { privateKey, publicKey } = make()
  const other = make()
  const hash = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`
  const padding = algorithm.startsWith('PS')
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {}
  let asked = 0
  const service: KeyService = {
    publicJwk: { ...(publicKey.export({ format: 'jwk' }) as JWK), alg: algorithm },
    get asked() {
      return asked
    },
    fault: 'none',
    key: {
      publicJwk: {},
      sign(data) {
        asked++
        return answer(data)
      },
    },
  }
  async function signWith(key: KeyObject, data: Uint8Array): Promise<Uint8Array> {
    const dsaEncoding = form === 'der' ? 'der' : 'ieee-p1363'
    return new Uint8Array(await signAsync(hash, data, { key, dsaEncoding, ...padding }))
  }
  function answer(data: Uint8Array): Promise<Uint8Array> {
    switch (service.fault) {
      case 'none':
        return signWith(privateKey, data)
      case 'fails':
        return Promise.reject(new Error('ThrottlingException: rate exceeded'))
      case 'throws':
        throw new Error('the client was not set up')
      case 'hangs':
        return new Promise(() => undefined)
      case 'garbage':
        return Promise.resolve(new Uint8Array(70).fill(0x30))
      case 'text':
        return Promise.resolve('c2lnbmF0dXJl' as never)
      case 'other key':
        return signWith(other.privateKey, data)
      case 'other data':
        return signWith(privateKey, new Uint8Array([...data, 0]))
    }
  }
  service.key.publicJwk = service.publicJwk
  return service
}

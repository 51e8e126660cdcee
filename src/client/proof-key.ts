const storeName = 'keys'
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

function encode(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
}

const encodeJson = (value: object): string => encode(bytesOf(JSON.stringify(value)))

function settled<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a failed request has its DOMException
    request.onerror = () => reject(request.error)
  })
}

/**
 * The key of this browser for one login service: made so that no script can read it, and kept in IndexedDB, where a later
 * visit finds it. It is made before it is known whether one is there, since a transaction would not wait for it; so two tabs
 * that open it at the same time end up with the same.
 */
async function openKey(name: string): Promise<CryptoKeyPair> {
  const made = await crypto.subtle.generateKey(algorithm, false, ['sign'])
  const opening = indexedDB.open('express-kickout')
  opening.onupgradeneeded = () => void opening.result.createObjectStore(storeName)
  const database = await settled(opening)
  const store = database.transaction(storeName, 'readwrite').objectStore(storeName)
  const found = await settled(store.get(name) as IDBRequest<CryptoKeyPair | undefined>)
  if (!found) await settled(store.put(made, name))
  database.close()
  return found ?? made
}

/** Signs proofs that requests come from this browser. @see RFC 9449 §4.2 */
export class ProofKey {
  readonly #name: string
  /** By origin. */
  readonly #nonces: Record<string, string> = {}
  #opened: Promise<CryptoKeyPair> | undefined

  /** @param name - of the key in IndexedDB */
  constructor(name: string) {
    this.#name = name
  }

  /** @param token - the access token that goes along */
  async prove(method: string, { origin, pathname }: URL, token?: string): Promise<string> {
    this.#opened ??= openKey(this.#name)
    const { privateKey, publicKey } = await this.#opened
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
    const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } }
    const claims = {
      jti: crypto.randomUUID(),
      htm: method,
      htu: origin + pathname,
      iat: Math.floor(Date.now() / 1000),
      nonce: this.#nonces[origin],
      ath: token && encode(await crypto.subtle.digest('SHA-256', bytesOf(token))),
    }
    const input = `${encodeJson(header)}.${encodeJson(claims)}`
    return `${input}.${encode(await crypto.subtle.sign(algorithm, privateKey, bytesOf(input)))}`
  }

  /** Keeps the nonce that the next proof for this server has to carry. @returns whether there was one */
  learn({ origin }: URL, { headers }: Response): boolean {
    const nonce = headers.get('DPoP-Nonce')
    if (nonce) this.#nonces[origin] = nonce
    return !!nonce
  }
}

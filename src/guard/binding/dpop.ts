import type { Clock } from '../../clock.ts'
import { Nonces } from '../../dpop/nonces.ts'
import { InvalidProof, ProofVerifier, type VerifiedProof } from '../../dpop/proof.ts'
import { normalizeTargetUri } from '../../dpop/target-uri.ts'
import { AuthError, isUnavailableError, UnavailableError } from '../../errors.ts'
import { onePerProcess } from '../../one-per-process.ts'
import { isLoopbackHost } from '../../options.ts'
import { headerValues } from '../../raw-headers.ts'
import type { ReplayStore } from '../../replay/replay-store.ts'
import type { DpopSettings } from './options.ts'
import type { Presentation, PresentingRequest } from './presentation.ts'

export interface DpopDeps {
  readonly clock: Clock
  readonly clockToleranceSeconds: number
}

const namespace = 'dpop'

/** What each request has claimed. A second guard on its way, or the same one again, must not take it for a replay. */
const claimedBy = () => onePerProcess('claimed-proofs', () => new WeakMap<object, string>())

function invalidProof(message: string): AuthError {
  return new AuthError('invalid_dpop_proof', 'proof', message)
}

/** The path that was asked for, before any router of Express has shortened it. The rest of the target never counts. */
function pathOf(req: PresentingRequest): string {
  const target = req.originalUrl ?? req.url
  if (target?.startsWith('/') !== true) {
    throw invalidProof('The target of the request is not a path')
  }
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

interface LocalSocket {
  readonly localAddress?: string
  readonly localPort?: number
  readonly encrypted?: boolean
}

/** Without "publicUrl": a URI on this machine, with the port that the request has come in on. */
function isOfThisMachine(uri: string, req: PresentingRequest, path: string): boolean {
  const { localAddress, localPort, encrypted } = (req.socket ?? {}) as LocalSocket
  if (localAddress === undefined || localPort === undefined) return false
  const address = localAddress.replace(/^::ffff:/, '')
  if (!isLoopbackHost(address.includes(':') ? `[${address}]` : address)) return false
  const { protocol, hostname, port, origin } = new URL(uri)
  const scheme = encrypted === true ? 'https:' : 'http:'
  const defaultPort = encrypted === true ? '443' : '80'
  return (
    protocol === scheme &&
    isLoopbackHost(hostname) &&
    (port === '' ? defaultPort : port) === String(localPort) &&
    normalizeTargetUri(origin + path) === uri
  )
}

/** Whatever a store of the application throws, a claim that was not made is our failure, never the client's. */
function toUnavailable(error: unknown): unknown {
  if (isUnavailableError(error)) return error
  return new UnavailableError('replay', 'The replay store failed', { cause: error })
}

/** Checks that the client has the key that its token is bound to, by a proof made for this very request. */
export class DpopBinding {
  readonly #settings: DpopSettings
  readonly #proofs: ProofVerifier
  readonly #nonces: Nonces
  readonly #replay: ReplayStore

  constructor(settings: DpopSettings, { clock, clockToleranceSeconds }: DpopDeps) {
    this.#settings = settings
    this.#proofs = new ProofVerifier({ ...settings, clockToleranceSeconds }, clock)
    this.#nonces = new Nonces(settings.nonceSecret, clock, clockToleranceSeconds * 1000)
    this.#replay = settings.makeReplay(clock)
  }

  /** Whether tokens that are bound to no key are refused. */
  get isRequired(): boolean {
    return this.#settings.isRequired
  }

  /** Resolves when the replay store can vouch for proofs that are made from now on. */
  async ready(): Promise<void> {
    await this.#replay.ready?.()
  }

  /** The nonce for the client's next proof, where proofs must have one. */
  nextNonce(thumbprint: string): string | undefined {
    return this.#settings.nonceSecret === undefined ? undefined : this.#nonces.make(thumbprint)
  }

  /**
   * Checks the one proof of a request. Its `jti` is claimed last, so that a request that fails earlier uses up no proof. It is
   * claimed under the thumbprint of the key, so that one client cannot use up the `jti` of another.
   *
   * @throws AuthError `invalid_dpop_proof` (reason `proof` or `replay`), `use_dpop_nonce`, `invalid_token` (reason `binding`)
   * @throws UnavailableError when the replay store is full or away
   * @see RFC 9449 §4.3, §7.1, §9 and §11.1
   */
  async assertProof(
    accessToken: string,
    thumbprint: string,
    { req, scheme }: Presentation,
  ): Promise<void> {
    const [proof, second] = headerValues(req.rawHeaders, 'dpop')
    if (proof === undefined) {
      if (scheme === 'DPoP') throw invalidProof('The request has no DPoP header')
      throw new AuthError(
        'invalid_token',
        'binding',
        'The token is bound to a key: no proof came along',
      )
    }
    if (second !== undefined) throw invalidProof('The request has more than one DPoP header')
    const verified = await this.#verify(proof, accessToken, thumbprint, req)
    const nonceMadeAtMs = this.#nonces.read(verified.nonce, thumbprint)
    if (nonceMadeAtMs === undefined && this.#settings.nonceSecret !== undefined) {
      throw this.#useNonce(thumbprint, 'The proof has no nonce of ours, or one that is too old')
    }
    await this.#claim(verified, req)
    // The store would not know a proof that was used before. A nonce shows that this one was made since.
    const notBeforeMs = Math.max(verified.issuedAtMs, nonceMadeAtMs ?? 0)
    if (notBeforeMs < (this.#replay.remembersSinceMs ?? 0)) {
      throw this.#useNonce(thumbprint, 'The proof is older than what the replay store remembers')
    }
  }

  async #verify(
    proof: string,
    accessToken: string,
    thumbprint: string,
    req: PresentingRequest,
  ): Promise<VerifiedProof> {
    const path = pathOf(req)
    const { publicUrl } = this.#settings
    const uri =
      publicUrl === undefined
        ? (candidate: string) => isOfThisMachine(candidate, req, path)
        : normalizeTargetUri(publicUrl + path)
    if (uri === undefined) throw invalidProof('The path of the request is no part of a URI')
    try {
      const target = { method: req.method ?? '', uri, accessToken, thumbprint }
      return await this.#proofs.verify(proof, target)
    } catch (error) {
      if (!(error instanceof InvalidProof)) throw error
      throw error.isOfAnotherKey
        ? new AuthError(
            'invalid_token',
            'binding',
            'The token is bound to another key than that of the proof',
          )
        : invalidProof(error.message)
    }
  }

  async #claim({ thumbprint, jti }: VerifiedProof, req: PresentingRequest): Promise<void> {
    const id = `${thumbprint} ${jti}`
    if (claimedBy().get(req) === id) return
    let isFirst: unknown
    try {
      isFirst = await this.#replay.claim(namespace, id, this.#proofs.lifetimeMs)
    } catch (error) {
      throw toUnavailable(error)
    }
    // Anything but `true` refuses, as a store of the application may answer with anything.
    if (isFirst === true) {
      claimedBy().set(req, id)
      return
    }
    throw new AuthError('invalid_dpop_proof', 'replay', 'The proof was used before')
  }

  #useNonce(thumbprint: string, message: string): AuthError {
    const headers = { 'DPoP-Nonce': this.#nonces.make(thumbprint) }
    return new AuthError('use_dpop_nonce', 'nonce', message, { headers })
  }
}

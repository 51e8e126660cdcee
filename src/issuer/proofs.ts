import { type Clock, systemClock } from '../clock.ts'
import {
  defaultProofMaxAgeSeconds,
  InvalidProof,
  proofAlgorithms,
  type ProofTarget,
  ProofVerifier,
} from '../dpop/proof.ts'
import { GrantError } from '../errors.ts'
import { MemoryReplayStore } from '../replay/memory-replay-store.ts'

const clockToleranceSeconds = 5

function invalidProof(reason: 'proof' | 'replay', description: string): GrantError {
  return new GrantError('invalid_dpop_proof', reason, description)
}

/**
 * Verifies the DPoP proofs that come to an issuer. Each is accepted once in this process. A proof that is replayed at
 * another process gains nothing: the tokens that it gets are bound to the key that made it.
 *
 * @see RFC 9449 §5
 */
export class Proofs {
  readonly #verifier: ProofVerifier
  readonly #replay: MemoryReplayStore

  constructor(clock: Clock = systemClock) {
    const policy = {
      algorithms: proofAlgorithms,
      maxAgeSeconds: defaultProofMaxAgeSeconds,
      clockToleranceSeconds,
    }
    this.#verifier = new ProofVerifier(policy, clock)
    this.#replay = new MemoryReplayStore({}, clock)
  }

  /**
   * @param proofs - the values of the `DPoP` headers of a request
   * @returns the thumbprint of the key that has made the one proof
   * @throws GrantError `invalid_dpop_proof`; `invalid_grant` for a proof of another key than that of the target
   * @throws UnavailableError when more proofs are remembered than the store has room for
   */
  async verify(proofs: readonly string[], target: ProofTarget): Promise<string> {
    const [proof, second] = proofs
    if (proof === undefined) throw invalidProof('proof', 'The request needs a DPoP proof')
    if (second !== undefined)
      throw invalidProof('proof', 'The request has more than one DPoP proof')
    const { thumbprint, jti } = await this.#read(proof, target)
    const { lifetimeMs } = this.#verifier
    if (await this.#replay.claim('dpop', `${thumbprint} ${jti}`, lifetimeMs)) return thumbprint
    throw invalidProof('replay', 'The DPoP proof was used before')
  }

  async #read(proof: string, target: ProofTarget) {
    try {
      return await this.#verifier.verify(proof, target)
    } catch (error) {
      if (!(error instanceof InvalidProof)) throw error
      if (error.isOfAnotherKey) {
        throw new GrantError(
          'invalid_grant',
          'binding',
          'The refresh token is bound to another key',
        )
      }
      throw invalidProof('proof', error.message)
    }
  }
}

import { AuthError } from '../../errors.ts'
import type { VerifiedToken } from '../token/verifier.ts'
import type { ConfirmationMethod } from './confirmation.ts'
import { DpopBinding, type DpopDeps } from './dpop.ts'
import { MtlsBinding } from './mtls.ts'
import type { BindingSettings } from './options.ts'
import type { Presentation } from './presentation.ts'

function refuse(message: string): never {
  throw new AuthError('invalid_token', 'binding', message)
}

/** Which members of `cnf` a guard with these settings checks. */
export function acceptedMethods({ dpop, mtls }: BindingSettings): ReadonlySet<ConfirmationMethod> {
  return new Set<ConfirmationMethod>([
    ...(dpop ? ['jkt' as const] : []),
    ...(mtls ? ['x5t#S256' as const] : []),
  ])
}

/** Checks that the client that sends a token is the one that the token is bound to. */
export class Possession {
  readonly #dpop: DpopBinding | undefined
  readonly #mtls: MtlsBinding | undefined

  constructor({ dpop, mtls }: BindingSettings, deps: DpopDeps) {
    this.#dpop = dpop && new DpopBinding(dpop, deps)
    this.#mtls = mtls && new MtlsBinding(mtls)
  }

  /**
   * The scheme first, then the certificate, then the proof. All that a token is bound to has to be there.
   *
   * @returns `undefined` where there is nothing to wait for
   * @throws AuthError, UnavailableError (or rejects with them)
   */
  check(verified: VerifiedToken, presentation: Presentation): Promise<void> | undefined {
    const { jkt, certificate } = verified.confirmation ?? {}
    if (jkt !== undefined && presentation.scheme === 'Bearer') {
      refuse('The token is bound to a key and was sent as a plain bearer')
    }
    if (jkt === undefined) {
      if (presentation.scheme === 'DPoP')
        refuse('The token is bound to no key and was sent with the scheme DPoP')
      if (this.#dpop?.isRequired)
        refuse('The token is bound to no key, as the option "dpop" requires')
    }
    if (certificate !== undefined) this.#mtls?.assertCertificate(presentation.req, certificate)
    else if (this.#mtls?.isRequired) {
      refuse('The token is bound to no certificate, as the option "mtls" requires')
    }
    return jkt === undefined
      ? undefined
      : this.#dpop?.assertProof(verified.token, jkt, presentation)
  }

  async ready(): Promise<void> {
    await this.#dpop?.ready()
  }

  /** The `DPoP-Nonce` of an accepted request. */
  nextNonce({ confirmation }: VerifiedToken): string | undefined {
    return confirmation?.jkt === undefined ? undefined : this.#dpop?.nextNonce(confirmation.jkt)
  }
}

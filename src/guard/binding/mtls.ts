import { createHash } from 'node:crypto'
import { AuthError } from '../../errors.ts'
import { certificateOf } from './certificate.ts'
import type { MtlsSettings } from './options.ts'
import type { PresentingRequest } from './presentation.ts'

/** Checks that a token that is bound to a certificate comes over a connection that was made with it. */
export class MtlsBinding {
  readonly #settings: MtlsSettings

  constructor(settings: MtlsSettings) {
    this.#settings = settings
  }

  /** Whether tokens that are bound to no certificate are refused. */
  get isRequired(): boolean {
    return this.#settings.isRequired
  }

  /**
   * The handshake has proved that the client has the certificate's key. Who issued the certificate does not matter here.
   *
   * @throws AuthError `invalid_token` (reason `binding`)
   * @see RFC 8705 §3
   */
  assertCertificate(req: PresentingRequest, thumbprint: string): void {
    const der = certificateOf(req, this.#settings.source)
    if (der === undefined) {
      throw new AuthError(
        'invalid_token',
        'binding',
        'The token is bound to a certificate, and the connection has none that can be believed and read',
      )
    }
    if (createHash('sha256').update(der).digest('base64url') === thumbprint) return
    throw new AuthError('invalid_token', 'binding', 'The token is bound to another certificate')
  }
}

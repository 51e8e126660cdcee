/** The session is over. Only signing in again helps. */
export class SignedOutError extends Error {
  /** Always `SignedOutError`. */
  override readonly name = 'SignedOutError'
  constructor() {
    super('The session is over: sign in again')
  }
}

/** The login service cannot be reached or cannot answer now. The session may well go on: try again later. */
export class UnavailableError extends Error {
  /** Always `UnavailableError`. */
  override readonly name = 'UnavailableError'
}

/** The error of an answer of the login service that ends no session. */
export function refusal(status: number, url: string): Error {
  return status >= 500 || status === 429
    ? new UnavailableError(`The login service cannot answer now (${status})`)
    : new Error(
        `${url} refused this page (${status}): check "loginUrl", and "allowedOrigins" of the issuer`,
      )
}

import { GrantError } from '../../errors.ts'

/** The parameters of a form that are read here; each at most once, as text. */
export class FormParameters {
  readonly #body: object

  /** @throws GrantError `invalid_request` when there is no form */
  constructor(body: unknown) {
    if (typeof body !== 'object' || body === null) {
      throw new GrantError(
        'invalid_request',
        'body',
        'The body must be application/x-www-form-urlencoded',
      )
    }
    this.#body = body
  }

  /**
   * @returns `undefined` for an absent or empty parameter
   * @throws GrantError `invalid_request` for a repeated or nested one
   * @see RFC 6749 §3.2
   */
  get(name: string): string | undefined {
    if (!Object.hasOwn(this.#body, name)) return undefined
    const value = (this.#body as Record<string, unknown>)[name]
    if (typeof value !== 'string') {
      throw new GrantError(
        'invalid_request',
        'repeated',
        `The parameter "${name}" must be there once`,
      )
    }
    return value === '' ? undefined : value
  }

  /** @throws GrantError `invalid_request` where it is absent */
  require(name: string): string {
    const value = this.get(name)
    if (value === undefined) {
      throw new GrantError('invalid_request', 'missing', `The parameter "${name}" is missing`)
    }
    return value
  }
}

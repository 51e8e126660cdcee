/** The longest `sub`, `sid`, `jti`, `client_id` or issuer that is accepted, in characters. */
export const maxIdentifierLength = 255

/**
 * Whether a value can be an id: a non-empty string, not too long, without lone surrogates. Two different lone surrogates
 * become the same bytes in Redis, so two ids would share one key.
 */
export function isIdentifier(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= maxIdentifierLength &&
    value.isWellFormed()
  )
}

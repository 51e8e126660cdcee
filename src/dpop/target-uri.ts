/** What no URI has as it is written: control characters, spaces, backslashes and anything beyond ASCII. */
const foreignCharacters = /[^\x21-\x5b\x5d-\x7e]/
const escaped = /%[0-9a-f]{2}/gi
const unreserved = /^[A-Za-z0-9\-._~]$/
const brokenEscape = /%(?![0-9a-f]{2})/i

/** An escape of a letter, digit, `-`, `.`, `_` or `~` means the same as the character; all others keep theirs. */
function normalizeEscape(escape: string): string {
  const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
  return unreserved.test(character) ? character : escape.toUpperCase()
}

/**
 * Brings a target URI into the one form that is compared: scheme and host in lower case, no default port, no dot segments,
 * escapes in upper case and only where they are needed. `%2F` stays different from `/`, and the case of the path counts.
 *
 * @returns `undefined` for what is no `http:` or `https:` URI, or has credentials, a query or a fragment
 * @see RFC 9449 §4.2 and §4.3, RFC 3986 §6.2.2 and §6.2.3
 */
export function normalizeTargetUri(text: string): string | undefined {
  if (foreignCharacters.test(text) || /[?#]/.test(text) || brokenEscape.test(text)) return undefined
  // Stricter than the parser, which forgives a missing or a third slash and takes away an empty user.
  if (!/^https?:\/\/[^/@]+(\/|$)/i.test(text) || !URL.canParse(text)) return undefined
  const { origin, pathname } = new URL(text.replace(escaped, normalizeEscape))
  return origin + pathname
}

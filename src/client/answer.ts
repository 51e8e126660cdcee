import type { KickoutClaims } from './events.ts'

/** What the login service has answered. */
export interface Answer {
  readonly ok: boolean
  readonly status: number
  readonly retryAfterSeconds: number | undefined
  readonly body: Record<string, unknown>
}

/** The object of a JSON text, or an empty one. */
export function readObject(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>
  } catch {
    return {}
  }
}

/** The claims of an access token, unverified, or `undefined` for what is no JWT. */
export function readClaims(token: string): KickoutClaims | undefined {
  try {
    const binary = atob((token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'))
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0))
    return Object.freeze(JSON.parse(new TextDecoder().decode(bytes))) as KickoutClaims
  } catch {
    return undefined
  }
}

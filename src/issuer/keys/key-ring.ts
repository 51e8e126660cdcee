import type { StoredKey } from '../../key-store/key-store.ts'

/*
 * The rules of rotation, for all processes alike: pure functions of what is stored and of the store's clock.
 *
 *   published -> signs (from `signsFrom`) -> superseded (when the next one signs) -> gone (`keepMs` later)
 */

/** How long the private half outlasts its last signature: processes whose clocks are a little behind still need it. */
const privateRoomMs = 60_000

export interface RingRules {
  readonly publishAheadMs: number
  readonly keepMs: number
  readonly everyMs: number | undefined
}

/** Whether tokens of a key may still be about. */
export type IsWanted = (ring: KeyRing, key: StoredKey) => boolean

/** The keys of an issuer, the newest first. */
export type KeyRing = readonly StoredKey[]

export const kidOf = ({ jwk }: StoredKey): string => jwk.kid ?? ''

export function toRing(keys: readonly StoredKey[]): KeyRing {
  return [...keys].sort(
    (a, b) => b.signsFrom - a.signsFrom || (kidOf(a) < kidOf(b) ? 1 : kidOf(a) > kidOf(b) ? -1 : 0),
  )
}

/** When another key takes over. */
function supersededAt(ring: KeyRing, key: StoredKey): number {
  return ring[ring.indexOf(key) - 1]?.signsFrom ?? Number.POSITIVE_INFINITY
}

export function isPublished(ring: KeyRing, key: StoredKey, now: number, keepMs: number): boolean {
  return now < supersededAt(ring, key) + keepMs
}

/**
 * The key that signs: the newest whose time has come. Where none has, since the clock was set back, the oldest that can: an
 * issuer that has a key is never without one.
 */
export function signingKey(ring: KeyRing, now: number): StoredKey | undefined {
  const able = ring.filter(({ jwk }) => jwk.d !== undefined)
  return able.find(({ signsFrom }) => signsFrom <= now) ?? able.at(-1)
}

/** Whether it is time to announce the next key. Never while one is announced already. */
export function isDue(ring: KeyRing, now: number, { everyMs, publishAheadMs }: RingRules): boolean {
  const [newest] = ring
  if (!newest || everyMs === undefined || newest.signsFrom > now) return false
  return newest.signsFrom + everyMs - publishAheadMs <= now
}

/**
 * Merges the stored keys and those that this process knows. A failover, or an operator who restored an earlier record, may
 * have lost a key whose tokens are still in use.
 */
export function merge(
  stored: readonly StoredKey[],
  known: readonly StoredKey[],
  isWanted: IsWanted,
): KeyRing {
  const kids = new Set(stored.map(kidOf))
  const ring = toRing([...stored, ...known.filter((key) => !kids.has(kidOf(key)))])
  const lost = new Set(known.filter((key) => !kids.has(kidOf(key)) && isWanted(ring, key)))
  return toRing([...stored, ...lost])
}

/** Takes out the keys that are gone, and the private halves that have no use any more. */
export function tidy(
  ring: KeyRing,
  now: number,
  { publishAheadMs }: RingRules,
  isWanted: IsWanted,
): KeyRing {
  const tidied = ring.flatMap((key) => {
    if (!isWanted(ring, key)) return []
    const superseded = supersededAt(ring, key) + privateRoomMs <= now
    if (superseded && key.jwk.d !== undefined) return [{ ...key, jwk: withoutPrivate(key.jwk) }]
    // The clock was ahead when it was announced, by years perhaps: it would never sign, and no other one would follow.
    const isTooLate = key.signsFrom > now + publishAheadMs
    return isTooLate ? [{ ...key, signsFrom: now + publishAheadMs }] : [key]
  })
  return toRing(tidied)
}

function withoutPrivate(jwk: StoredKey['jwk']): StoredKey['jwk'] {
  const { kty, crv, n, e, x, y, kid, alg, use } = jwk
  return JSON.parse(JSON.stringify({ kty, crv, n, e, x, y, kid, alg, use })) as StoredKey['jwk']
}

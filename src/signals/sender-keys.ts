import type { Clock } from '../clock.ts'
import { readJwks, supportedAlgorithms } from '../guard/keys/jwks.ts'
import { KeySet, type KeySetSettings } from '../guard/keys/key-set.ts'
import { isSecureUrl, optionError } from '../options.ts'

/** As the guard has them unless told otherwise. */
const cache = { maxAgeSeconds: 600, cooldownSeconds: 30, timeoutMs: 5000, maxStaleSeconds: 86_400 }

/** Where the keys of a sender are; discovered from its issuer unless given. */
export interface SenderKeys {
  /** Keys given outright, no network. */
  jwks?: { keys: object[] }
  /** `https:`, or `http:` on a loopback host. */
  jwksUri?: string | URL
}

function readSource(where: string, at: string, given: SenderKeys): KeySetSettings['source'] {
  const { jwks, jwksUri } = given
  if (jwks !== undefined && jwksUri !== undefined)
    throw optionError(where, `${at}jwks`, 'must not stand beside "jwksUri"')
  if (jwks !== undefined) {
    try {
      readJwks(jwks)
    } catch (error) {
      throw optionError(where, `${at}jwks`, (error as Error).message)
    }
    return { kind: 'given', jwks: structuredClone(jwks) }
  }
  if (jwksUri === undefined) return { kind: 'discovery' }
  const text = jwksUri instanceof URL ? jwksUri.href : jwksUri
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined
  if (!url || !isSecureUrl(url))
    throw optionError(where, `${at}jwksUri`, 'must be an https: URL, or http: on a loopback host')
  return { kind: 'address', url }
}

/**
 * The keys of a sender: fetched and cached as the guard does it.
 *
 * @param at - the path of the options, for messages: empty, or `trusted[0].`
 * @throws TypeError that names the option
 */
export function keySetOfSender(
  where: string,
  at: string,
  issuer: string,
  given: SenderKeys,
  clock: Clock,
): KeySet {
  const source = readSource(where, at, given)
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (source.kind === 'discovery' && (!url || !isSecureUrl(url))) {
    throw optionError(
      where,
      `${at}issuer`,
      'must be an https: URL, or http: on a loopback host, unless "jwks" or "jwksUri" says where the keys are',
    )
  }
  return new KeySet(
    { issuer, source, algorithms: new Set(supportedAlgorithms), cache },
    { clock, fetch: async (input, init) => fetch(input, init), emit: () => undefined },
  )
}

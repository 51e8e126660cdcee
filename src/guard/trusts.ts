import { assertOptions, isSecureUrl, optionError, readString, readStrings } from '../options.ts'
import { readJwks } from './keys/jwks.ts'
import type { JwksCacheOptions, KeySetSettings } from './keys/key-set.ts'
import type { RequireAuthOptions, TrustedIssuer } from './require-auth-options.ts'

const where = 'requireAuth'

/** One trusted issuer, checked. */
export interface TrustSettings {
  readonly audience: readonly string[]
  readonly keySet: KeySetSettings
}

/** A wrong value may have come from the environment, so its message says from where. */
function fromVariable(at: string, variable: string): string {
  return at === '' ? ` (from ${variable} unless given)` : ''
}

function readJwksUri(at: string, value: unknown): URL | undefined {
  if (value === undefined) return undefined
  const option = `${at}jwksUri`
  const text = value instanceof URL ? value.href : readString(where, option, value)
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined
  if (!url || !isSecureUrl(url)) {
    const expectation = 'must be an https: URL, or an http: one on a loopback host'
    throw optionError(where, option, expectation + fromVariable(at, 'JWKS_URI'))
  }
  return url
}

function readKeySource(at: string, trusted: TrustedIssuer): KeySetSettings['source'] {
  if (trusted.jwks !== undefined && trusted.jwksUri !== undefined) {
    throw optionError(
      where,
      `${at}jwks`,
      'must not stand beside "jwksUri": the keys come from one place',
    )
  }
  if (trusted.jwks !== undefined) {
    try {
      readJwks(trusted.jwks)
    } catch (error) {
      throw optionError(where, `${at}jwks`, (error as Error).message)
    }
    return { kind: 'given', jwks: structuredClone(trusted.jwks) }
  }
  const url = readJwksUri(at, trusted.jwksUri)
  return url ? { kind: 'address', url } : { kind: 'discovery' }
}

function assertIssuerUrl(at: string, issuer: string): void {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (!url || !isSecureUrl(url) || url.search !== '' || url.hash !== '') {
    throw optionError(
      where,
      `${at}issuer`,
      'must be an https: URL without query or fragment (http: only on a loopback host), exactly as in "iss"; ' +
        'any string will do where "jwks" gives the keys' +
        fromVariable(at, 'ISSUER_BASE_URL'),
    )
  }
}

function readTrust(
  at: string,
  trusted: TrustedIssuer,
  algorithms: ReadonlySet<string>,
  cache: Required<JwksCacheOptions>,
): TrustSettings {
  const issuer = readString(where, `${at}issuer`, trusted.issuer)
  const audience = readStrings(where, `${at}audience`, trusted.audience)
  if (issuer === undefined) {
    throw optionError(where, `${at}issuer`, 'is missing: give it, or set ISSUER_BASE_URL')
  }
  if (audience === undefined) {
    throw optionError(
      where,
      `${at}audience`,
      'is missing: give it, or set AUDIENCE. Without it any token of the issuer would do, whatever it was made for',
    )
  }
  const source = readKeySource(at, trusted)
  if (source.kind !== 'given') assertIssuerUrl(at, issuer)
  return { audience, keySet: { issuer, source, algorithms, cache } }
}

/**
 * Reads which issuers are trusted, for which audiences, and where their keys come from.
 *
 * @throws TypeError that names the option, and the variable that it comes from unless given
 */
export function readTrusts(
  options: RequireAuthOptions,
  algorithms: ReadonlySet<string>,
  cache: Required<JwksCacheOptions>,
): TrustSettings[] {
  const { issuer, audience } = options
  if (!Array.isArray(issuer)) {
    return [readTrust('', options as TrustedIssuer, algorithms, cache)]
  }
  for (const option of ['jwksUri', 'jwks'] as const) {
    if (options[option] !== undefined) {
      throw optionError(
        where,
        option,
        'must not stand beside a list of issuers: put it into the list',
      )
    }
  }
  if (issuer.length === 0) throw optionError(where, 'issuer', 'must not be an empty list')
  const trusts = issuer.map((trusted, index) => {
    const at = `issuer[${index}].`
    assertOptions(`${where}: issuer[${index}]`, trusted, ['issuer', 'audience', 'jwksUri', 'jwks'])
    const own = {
      ...trusted,
      ...(trusted.audience === undefined && audience !== undefined && { audience }),
    }
    return readTrust(at, own, algorithms, cache)
  })
  const names = trusts.map((trust) => trust.keySet.issuer)
  if (new Set(names).size < names.length)
    throw optionError(where, 'issuer', 'lists an issuer twice')
  return trusts
}

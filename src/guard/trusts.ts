import {
  assertOptions,
  isSecureUrl,
  optionError,
  readBoolean,
  readOptions,
  readString,
  readStrings,
} from '../options.ts'
import { type IntrospectionSettings, readIntrospection } from './introspection/options.ts'
import { readJwks } from './keys/jwks.ts'
import type { JwksCacheOptions, KeySetSettings } from './keys/key-set.ts'
import type {
  ClaimNames,
  IssuerResolver,
  RequireAuthOptions,
  TrustedIssuer,
} from './require-auth-options.ts'

const where = 'requireAuth'

/** One trusted issuer, checked. */
export interface TrustSettings {
  /** Empty: the audience is not looked at, since the client is. */
  readonly audience: readonly string[]
  /** `undefined`: any client of the issuer will do. */
  readonly clientIds: readonly string[] | undefined
  readonly claims: Required<ClaimNames>
  readonly allowIdTokenClaims: readonly string[]
  readonly keySet: KeySetSettings
  readonly introspection: IntrospectionSettings | undefined
}

/** Either issuers that are known in advance, or a function that decides. */
export type TrustSource =
  | { readonly kind: 'list'; readonly trusts: readonly TrustSettings[] }
  | {
      readonly kind: 'resolver'
      readonly resolve: (iss: string) => Promise<TrustSettings | undefined>
    }

/** What the options of the guard mean for each of its issuers. */
interface TrustContext {
  readonly algorithms: ReadonlySet<string>
  readonly cache: Required<JwksCacheOptions>
  readonly allowsHttp: boolean
}

/** A wrong value may have come from the environment, so its message says from where. */
function fromVariable(at: string, variable: string): string {
  return at === '' ? ` (from ${variable} unless given)` : ''
}

function readJwksUri(at: string, value: unknown, allowsHttp: boolean): URL | undefined {
  if (value === undefined) return undefined
  const option = `${at}jwksUri`
  const text = value instanceof URL ? value.href : readString(where, option, value)
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined
  if (!url || !isSecureUrl(url, allowsHttp)) {
    const expectation =
      'must be an https: URL, or an http: one on a loopback host ("dangerouslyAllowHttp" accepts any host)'
    throw optionError(where, option, expectation + fromVariable(at, 'JWKS_URI'))
  }
  return url
}

function readKeySource(
  at: string,
  trusted: TrustedIssuer,
  allowsHttp: boolean,
): KeySetSettings['source'] {
  const url = readJwksUri(at, trusted.jwksUri, allowsHttp)
  if (trusted.jwks === undefined) return url ? { kind: 'address', url } : { kind: 'discovery' }
  try {
    readJwks(trusted.jwks)
  } catch (error) {
    throw optionError(where, `${at}jwks`, (error as Error).message)
  }
  const jwks = structuredClone(trusted.jwks)
  return url ? { kind: 'address', url, first: jwks } : { kind: 'given', jwks }
}

function assertIssuerUrl(at: string, issuer: string, allowsHttp: boolean): void {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (!url || !isSecureUrl(url, allowsHttp) || url.search !== '' || url.hash !== '') {
    throw optionError(
      where,
      `${at}issuer`,
      'must be an https: URL without query or fragment, exactly as in "iss". http: works on a loopback host, or ' +
        'with "dangerouslyAllowHttp"; any string will do where "jwks" or "jwksUri" says where the keys are' +
        fromVariable(at, 'ISSUER_BASE_URL'),
    )
  }
}

function readNames(option: string, value: unknown): readonly string[] {
  return readStrings(where, option, value) ?? []
}

function readClaimNames(at: string, value: unknown): Required<ClaimNames> {
  const names = readOptions(`${where}: ${at}claims`, value ?? {}, ['subject', 'session', 'tokenId'])
  const read = (name: keyof ClaimNames): readonly string[] =>
    readNames(`${at}claims.${name}`, names[name])
  return { subject: read('subject'), session: read('session'), tokenId: read('tokenId') }
}

const idTokenClaims = ['nonce', 'at_hash', 'c_hash', 's_hash']

function readAllowedIdTokenClaims(at: string, value: unknown): readonly string[] {
  const names = readNames(`${at}allowIdTokenClaims`, value)
  const unknown = names.find((name) => !idTokenClaims.includes(name))
  if (unknown === undefined) return names
  throw optionError(
    where,
    `${at}allowIdTokenClaims`,
    `must hold names of ${idTokenClaims.join(', ')} only`,
  )
}

function readTrust(
  at: string,
  trusted: TrustedIssuer,
  { algorithms, cache, allowsHttp }: TrustContext,
): TrustSettings {
  const issuer = readString(where, `${at}issuer`, trusted.issuer)
  const audience = readAudience(at, trusted)
  const clientIds = readStrings(where, `${at}clientIds`, trusted.clientIds)
  if (issuer === undefined) {
    throw optionError(where, `${at}issuer`, 'is missing: give it, or set ISSUER_BASE_URL')
  }
  if (audience === undefined && clientIds === undefined) {
    throw optionError(
      where,
      `${at}audience`,
      'is missing: give it, or set AUDIENCE. Without it any token of the issuer would do, whatever it was made for. ' +
        'Where access tokens have no "aud" (Amazon Cognito), give "clientIds" instead',
    )
  }
  const source = readKeySource(at, trusted, allowsHttp)
  if (source.kind === 'discovery') assertIssuerUrl(at, issuer, allowsHttp)
  return {
    audience: audience ?? [],
    clientIds,
    claims: readClaimNames(at, trusted.claims),
    allowIdTokenClaims: readAllowedIdTokenClaims(at, trusted.allowIdTokenClaims),
    keySet: { issuer, source, algorithms, cache, allowsHttp },
    introspection: readOwnIntrospection(at, trusted, source, { ...cache, allowsHttp }),
  }
}

/** An empty list accepts answers about tokens that name no audience; without introspection it would accept any token. */
function readAudience(
  at: string,
  { audience, introspection }: TrustedIssuer,
): readonly string[] | undefined {
  if (introspection !== undefined && Array.isArray(audience) && audience.length === 0) return []
  return readStrings(where, `${at}audience`, audience)
}

function readOwnIntrospection(
  at: string,
  { issuer, introspection }: TrustedIssuer,
  source: KeySetSettings['source'],
  discovery: IntrospectionSettings['discovery'],
): IntrospectionSettings | undefined {
  if (introspection === undefined) return undefined
  const settings = readIntrospection(where, `${at}introspection.`, introspection, discovery)
  // Where keys are discovered, the same was checked before.
  if (!settings.endpoint && source.kind !== 'discovery')
    assertIssuerUrl(at, issuer, discovery.allowsHttp)
  return settings
}

/** Options of one issuer. Beside a list or a function they are refused: it would be unclear which issuer they are for. */
const ownOptions = ['jwksUri', 'jwks', 'claims', 'allowIdTokenClaims', 'introspection'] as const
const trustNames = ['issuer', 'audience', 'clientIds', ...ownOptions]

function readListed(
  at: string,
  trusted: TrustedIssuer,
  options: RequireAuthOptions,
  context: TrustContext,
): TrustSettings {
  assertOptions(`${where}: ${at.slice(0, -1)}`, trusted, trustNames)
  const { audience, clientIds } = options
  const own = {
    ...trusted,
    ...(trusted.audience === undefined && audience !== undefined && { audience }),
    ...(trusted.clientIds === undefined && clientIds !== undefined && { clientIds }),
  }
  return readTrust(at, own, context)
}

function assertNoOwnOptions(options: RequireAuthOptions): void {
  for (const option of ownOptions) {
    if (options[option] !== undefined) {
      throw optionError(
        where,
        option,
        'must not stand beside a list of issuers or a function: put it into its entry',
      )
    }
  }
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
): TrustSource {
  const { issuer } = options
  const allowsHttp = readBoolean(where, 'dangerouslyAllowHttp', options.dangerouslyAllowHttp, false)
  const context = { algorithms, cache, allowsHttp }
  if (typeof issuer === 'function') {
    assertNoOwnOptions(options)
    return { kind: 'resolver', resolve: createResolver(issuer, options, context) }
  }
  if (!Array.isArray(issuer)) {
    return { kind: 'list', trusts: [readTrust('', options as TrustedIssuer, context)] }
  }
  assertNoOwnOptions(options)
  if (issuer.length === 0) throw optionError(where, 'issuer', 'must not be an empty list')
  const trusts = (issuer as readonly TrustedIssuer[]).map((trusted, index) =>
    readListed(`issuer[${index}].`, trusted, options, context),
  )
  const names = trusts.map((trust) => trust.keySet.issuer)
  if (new Set(names).size < names.length)
    throw optionError(where, 'issuer', 'lists an issuer twice')
  if (trusts.filter(({ introspection }) => introspection).length > 1) {
    throw optionError(
      where,
      'issuer',
      'has more than one entry with "introspection": nothing tells whose an opaque token is',
    )
  }
  return { kind: 'list', trusts }
}

/** Asks the application about one issuer, and checks its answer as the entry of a list is checked. */
function createResolver(
  resolve: IssuerResolver,
  options: RequireAuthOptions,
  context: TrustContext,
): (iss: string) => Promise<TrustSettings | undefined> {
  return async (iss) => {
    const trusted = await resolve(iss)
    if (trusted === undefined) return undefined
    const settings = readListed('issuer().', trusted, options, context)
    if (settings.introspection) {
      throw optionError(
        where,
        'issuer().introspection',
        'must not come from a function: nothing tells whose an opaque token is. Give a list of issuers',
      )
    }
    if (settings.keySet.issuer === iss) return settings
    throw optionError(where, 'issuer', 'returned an entry of another issuer than it was asked for')
  }
}

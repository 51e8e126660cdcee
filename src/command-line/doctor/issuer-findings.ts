import type { JWK } from 'jose'
import { type Fetch, fetchJson } from '../../guard/keys/fetch-json.ts'
import { importJwks, readJwks, supportedAlgorithms } from '../../guard/keys/jwks.ts'
import { discoverEndpoint } from '../../guard/keys/metadata.ts'
import { isSecureUrl } from '../../options.ts'
import { usageError } from '../failure.ts'
import { countText } from '../output.ts'
import { type ClockReading, clockFinding } from './clock-findings.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** As guards have it by default. */
const timeoutMs = 5000
/** The header `Date` tells whole seconds. */
const dateResolutionMs = 1000

/** Fetches as guards do, and notes what the answers say of the time. */
class NotingFetch {
  clock: ClockReading | undefined

  readonly fetch: Fetch = async (url, init) => {
    const sentAt = Date.now()
    const response = await fetch(url, init)
    const date = Date.parse(response.headers.get('date') ?? '')
    // A cached answer tells when it was made.
    const isFresh = (response.headers.get('age') ?? '0') === '0'
    if (Number.isFinite(date) && isFresh)
      this.clock = { there: date, sentAt, receivedAt: Date.now() }
    return response
  }
}

function detailOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string } }
  const inner = cause?.message
  return inner === undefined || inner === '' ? (message ?? 'unknown') : `${message ?? ''}: ${inner}`
}

function describeKey(jwk: JWK): string {
  const kid = typeof jwk.kid === 'string' ? jwk.kid.slice(0, 60) : '(no kid)'
  const size =
    jwk.kty === 'RSA' && typeof jwk.n === 'string'
      ? ` ${Math.floor((jwk.n.length * 3) / 4) * 8} bits`
      : ''
  return `${kid} (${jwk.alg ?? jwk.crv ?? jwk.kty ?? '?'}${size})`
}

/** Each key of the set: what guards take, and what they leave out. */
async function keyFindings(document: unknown): Promise<Finding[]> {
  let jwks: JWK[]
  try {
    jwks = readJwks(document)
  } catch (error) {
    return [
      fail(
        'keys',
        `the key set ${detailOf(error)}, so guards refuse all of it`,
        'publish public keys only, each with a "kid" of its own (RFC 7517)',
      ),
    ]
  }
  const findings: Finding[] = []
  const sound: JWK[] = []
  for (const jwk of jwks) {
    const why = await importJwks({ keys: [jwk] }, new Set(supportedAlgorithms)).then(
      () => undefined,
      async () => whyUnfit(jwk),
    )
    if (why === undefined) sound.push(jwk)
    else {
      findings.push(
        fail(
          'keys',
          `key ${describeKey(jwk)} is left out by guards: ${why}. Its tokens are 401`,
          'let the issuer sign with another key: ES256, EdDSA, or RSA of 2048 bits or more; then take this one out of the set',
        ),
      )
    }
  }
  const nameless = sound.filter(({ kid }) => kid === undefined)
  if (nameless.length > 0 && sound.length > 1) {
    findings.push(
      warn(
        'keys',
        `${countText(nameless.length, 'key')} without a "kid" among ${sound.length}: guards have to try them`,
        'give every key a "kid"',
      ),
    )
  }
  if (sound.length > 0) {
    findings.unshift(
      ok('keys', `${countText(sound.length, 'key')} fit: ${sound.map(describeKey).join(', ')}`),
    )
  }
  return findings
}

/** Why a key alone is left out: it is put beside one that is sound, since a set of unfit keys says only that. */
async function whyUnfit(jwk: JWK): Promise<string> {
  const sound = { kty: 'OKP', crv: 'Ed25519', kid: 'doctor', x: soundX }
  const { dropped } = await importJwks({ keys: [sound, jwk] }, new Set(supportedAlgorithms))
  return dropped[0]?.reason ?? 'it is not fit'
}

/** A point on the curve: the public key of RFC 8037, appendix A.2. */
const soundX = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'

/** What is right and wrong with the issuer, as a guard finds it. */
export async function issuerFindings(
  issuer: string,
  givenJwksUri: string | undefined,
): Promise<Finding[]> {
  for (const [flag, url] of [
    ['--issuer', issuer],
    ['--jwks-uri', givenJwksUri],
  ] as const) {
    if (url === undefined) continue
    if (!URL.canParse(url) || !isSecureUrl(new URL(url)))
      throw usageError(`${flag} must be an https: URL, or http: on this machine`)
  }
  const noting = new NotingFetch()
  const signal = AbortSignal.timeout(timeoutMs)
  const findings: Finding[] = []
  let jwksUri: URL
  try {
    jwksUri =
      givenJwksUri === undefined
        ? await discoverEndpoint('jwks_uri', noting.fetch, issuer, signal)
        : new URL(givenJwksUri)
    findings.push(ok('issuer', `${issuer}, keys at ${jwksUri.href}`))
  } catch (error) {
    return [
      fail(
        'issuer',
        `${issuer}: ${detailOf(error)}`,
        'the issuer must be exactly the "iss" of the tokens, slashes included, and its metadata must be within reach of this machine; or name the keys by --jwks-uri',
      ),
    ]
  }
  try {
    findings.push(...(await keyFindings(await fetchJson(noting.fetch, jwksUri, signal))))
  } catch (error) {
    findings.push(
      fail(
        'keys',
        `${jwksUri.href}: ${detailOf(error)}`,
        'servers verify with the keys that they hold for up to a day; make this address answer before that',
      ),
    )
  }
  if (noting.clock) findings.push(clockFinding('the issuer', noting.clock, dateResolutionMs))
  return findings
}

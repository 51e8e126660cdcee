import type { Clock } from '../../clock.ts'
import { defaultProofMaxAgeSeconds, proofAlgorithms } from '../../dpop/proof.ts'
import { normalizeTargetUri } from '../../dpop/target-uri.ts'
import {
  assertOptions,
  isLoopbackHost,
  isSecureUrl,
  optionError,
  readBoolean,
  readChoice,
  readNumber,
  readOptions,
  readString,
  readStrings,
} from '../../options.ts'
import { memoryReplayDefaults, MemoryReplayStore } from '../../replay/memory-replay-store.ts'
import type { ReplayStore } from '../../replay/replay-store.ts'
import {
  certificateFormats,
  type CertificateFormat,
  type CertificateSource,
} from './certificate.ts'

const where = 'requireAuth'

/** How tokens that are bound to a key are proved (RFC 9449). */
export interface DpopOptions {
  /**
   * `true` refuses tokens that are bound to no key.
   *
   * @defaultValue false
   */
  required?: boolean
  /**
   * The root of the app as clients see it, such as `https://api.example.com/svc2`. Proofs are compared with it and the path of
   * the request; neither `Host` nor `X-Forwarded-*` ever counts. Needed except where every issuer is on a loopback host.
   */
  publicUrl?: string
  /**
   * Accepted signature algorithms of proofs, asymmetric only.
   *
   * @defaultValue ES256, ES384, ES512, EdDSA, Ed25519, PS256, PS384, PS512, RS256, RS384, RS512
   */
  algorithms?: readonly string[]
  /**
   * How old a proof may be, from its `iat`, seconds, 1 to 600. `clockToleranceSeconds` comes on top.
   *
   * @defaultValue 60
   */
  maxAgeSeconds?: number
  /**
   * Where used proofs are remembered. Several servers need one that they share: `redisReplayStore(redis)`.
   *
   * @defaultValue memoryReplayStore()
   */
  replay?: ReplayStore
  /**
   * Asks for a nonce in each proof, so that none can be made ahead. `secret`: 32 bytes or more, the same on every server.
   */
  nonce?: { secret: string | Uint8Array }
}

/** How tokens that are bound to a client certificate are proved (RFC 8705). */
export interface MtlsOptions {
  /**
   * `true` refuses tokens that are bound to no certificate.
   *
   * @defaultValue false
   */
  required?: boolean
  /**
   * `'socket'`: this server ends TLS itself, with `requestCert`. Else the header that a proxy writes, which counts only from
   * a peer that Express' setting `trust proxy` trusts: `rfc9440` (`Client-Cert`), `pem-urlencoded` (nginx, AWS) or `xfcc`
   * (Envoy). The proxy must remove that header from what clients send.
   */
  certificate: 'socket' | { header: string; format: CertificateFormat }
}

export interface DpopSettings {
  readonly isRequired: boolean
  /** Without a slash at its end; `undefined` on a loopback host only. */
  readonly publicUrl: string | undefined
  readonly algorithms: readonly string[]
  readonly maxAgeSeconds: number
  /** The given store, or one in memory on the guard's clock. */
  readonly makeReplay: (clock: Clock) => ReplayStore
  readonly nonceSecret: string | Uint8Array | undefined
}

export interface MtlsSettings {
  readonly isRequired: boolean
  readonly source: CertificateSource
}

export interface BindingSettings {
  readonly dpop: DpopSettings | undefined
  readonly mtls: MtlsSettings | undefined
}

const minSecretBytes = 32

function isLoopbackUrl(text: string): boolean {
  return URL.canParse(text) && isLoopbackHost(new URL(text).hostname)
}

function readPublicUrl(
  value: unknown,
  issuers: readonly string[],
  allowsHttp: boolean,
): string | undefined {
  const text = readString(where, 'dpop.publicUrl', value)
  if (text === undefined) {
    if (issuers.length > 0 && issuers.every(isLoopbackUrl)) return undefined
    throw optionError(
      where,
      'dpop.publicUrl',
      "is missing: give the root of this app as clients see it, such as 'https://api.example.com'",
    )
  }
  const uri = normalizeTargetUri(text)
  if (uri === undefined || !(allowsHttp || isSecureUrl(new URL(uri)))) {
    throw optionError(
      where,
      'dpop.publicUrl',
      'must be an https: URL without query or fragment (http: only on a loopback host, or with "dangerouslyAllowHttp")',
    )
  }
  return uri.replace(/\/$/, '')
}

function readAlgorithms(value: unknown): readonly string[] {
  const option = 'dpop.algorithms'
  const algorithms = readStrings(where, option, value) ?? proofAlgorithms
  if (algorithms.every((name) => (proofAlgorithms as readonly string[]).includes(name))) {
    return algorithms
  }
  throw optionError(
    where,
    option,
    `must hold asymmetric algorithms only, of ${proofAlgorithms.join(', ')}`,
  )
}

function readReplay(value: unknown): DpopSettings['makeReplay'] {
  if (value === undefined) return (clock) => new MemoryReplayStore(memoryReplayDefaults, clock)
  const { claim } = (value ?? {}) as { claim?: unknown }
  if (typeof claim !== 'function') {
    throw optionError(
      where,
      'dpop.replay',
      'must be a replay store: memoryReplayStore() or redisReplayStore(redis)',
    )
  }
  return () => value as ReplayStore
}

function readNonceSecret(value: unknown): string | Uint8Array | undefined {
  if (value === undefined) return undefined
  const { secret } = readOptions(`${where}: dpop.nonce`, value, ['secret'])
  const isSecret = typeof secret === 'string' || secret instanceof Uint8Array
  if (isSecret && Buffer.byteLength(secret) >= minSecretBytes) return secret
  throw optionError(
    where,
    'dpop.nonce.secret',
    `must be ${minSecretBytes} bytes or more, the same on every server; make one with: ` +
      `node -p "crypto.randomBytes(${minSecretBytes}).toString('base64url')"`,
  )
}

function readDpop(
  value: unknown,
  issuers: readonly string[],
  allowsHttp: boolean,
): DpopSettings | undefined {
  if (value === undefined) return undefined
  const names = ['required', 'publicUrl', 'algorithms', 'maxAgeSeconds', 'replay', 'nonce']
  const dpop = readOptions(`${where}: dpop`, value, names)
  return {
    isRequired: readBoolean(where, 'dpop.required', dpop['required'], false),
    publicUrl: readPublicUrl(dpop['publicUrl'], issuers, allowsHttp),
    algorithms: readAlgorithms(dpop['algorithms']),
    maxAgeSeconds: readNumber(where, 'dpop.maxAgeSeconds', dpop['maxAgeSeconds'], {
      fallback: defaultProofMaxAgeSeconds,
      min: 1,
      max: 600,
    }),
    makeReplay: readReplay(dpop['replay']),
    nonceSecret: readNonceSecret(dpop['nonce']),
  }
}

function readSource(value: unknown): CertificateSource {
  if (value === 'socket') return value
  const option = 'mtls.certificate'
  if (typeof value !== 'object' || value === null) {
    throw optionError(where, option, "must be 'socket' or { header, format }")
  }
  assertOptions(`${where}: ${option}`, value, ['header', 'format'])
  const { header, format } = value as { header?: unknown; format?: unknown }
  const name = readString(where, `${option}.header`, header)
  if (name === undefined || !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) {
    throw optionError(
      where,
      `${option}.header`,
      "must be the name of a header, such as 'client-cert'",
    )
  }
  if (format === undefined) {
    throw optionError(
      where,
      `${option}.format`,
      `is missing: one of ${certificateFormats.join(', ')}`,
    )
  }
  return {
    header: name.toLowerCase(),
    format: readChoice(where, `${option}.format`, format, certificateFormats, 'rfc9440'),
  }
}

function readMtls(value: unknown): MtlsSettings | undefined {
  if (value === undefined) return undefined
  const mtls = readOptions(`${where}: mtls`, value, ['required', 'certificate'])
  return {
    isRequired: readBoolean(where, 'mtls.required', mtls['required'], false),
    source: readSource(mtls['certificate']),
  }
}

/**
 * Reads what tokens may be bound to.
 *
 * @param issuers - the trusted ones; "publicUrl" may be left out where all of them are on loopback hosts
 * @throws TypeError that names the option
 */
export function readBindings(
  options: {
    readonly dpop?: unknown
    readonly mtls?: unknown
    readonly dangerouslyAllowHttp?: unknown
  },
  issuers: readonly string[],
): BindingSettings {
  return {
    dpop: readDpop(options.dpop, issuers, options.dangerouslyAllowHttp === true),
    mtls: readMtls(options.mtls),
  }
}

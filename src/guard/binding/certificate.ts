import { X509Certificate } from 'node:crypto'
import { headerValues } from '../../raw-headers.ts'
import type { PresentingRequest } from './presentation.ts'

/** How a proxy writes the client's certificate into a header. */
export const certificateFormats = ['rfc9440', 'pem-urlencoded', 'xfcc'] as const
/** How a proxy writes the client's certificate into a header. */
export type CertificateFormat = (typeof certificateFormats)[number]

/** Where the client's certificate is taken from. */
export type CertificateSource =
  'socket' | { readonly header: string; readonly format: CertificateFormat }

/** Base64 of a certificate of 6 KB, more than the header lines of proxies may have. */
const maxHeaderLength = 16_384
const byteSequence = /^:([A-Za-z0-9+/]+={0,2}):$/
/** One certificate, or a chain that begins with the client's. */
const pemChain =
  /^\s*-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END CERTIFICATE-----\s*(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)*$/
const xfccPair = /^([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=]*(?:=[^",;=]*)*))$/

function fromBase64(text: string): Buffer | undefined {
  const compact = text.replace(/\s+/g, '')
  const bytes = Buffer.from(compact, 'base64')
  return bytes.toString('base64') === compact ? bytes : undefined
}

function fromEncodedPem(text: string): Buffer | undefined {
  let pem
  try {
    pem = decodeURIComponent(text)
  } catch {
    return undefined
  }
  const [, body] = pemChain.exec(pem) ?? []
  return body === undefined ? undefined : fromBase64(body)
}

/** Splits at a separator, but not within quotes. */
function splitUnquoted(text: string, separator: ',' | ';'): string[] {
  const parts = ['']
  let isQuoted = false
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index)
    if (character === '\\' && isQuoted) {
      parts.push(`${parts.pop() ?? ''}${character}${text.charAt(++index)}`)
      continue
    }
    if (character === '"') isQuoted = !isQuoted
    if (character === separator && !isQuoted) parts.push('')
    else parts.push(`${parts.pop() ?? ''}${character}`)
  }
  return parts
}

/** The one element of Envoy's header: two come of two proxies, and nothing tells which of them is to be believed. */
function fromForwarded(text: string): Buffer | undefined {
  const [element = '', second] = splitUnquoted(text, ',')
  if (second !== undefined) return undefined
  const certificates: string[] = []
  for (const pair of splitUnquoted(element, ';')) {
    const [, name, quoted, plain] = xfccPair.exec(pair.trim()) ?? []
    if (name === undefined) return undefined
    if (name.toLowerCase() === 'cert') {
      certificates.push(quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1'))
    }
  }
  const [certificate] = certificates
  return certificate === undefined || certificates.length > 1
    ? undefined
    : fromEncodedPem(certificate)
}

/**
 * Reads the DER of the client's certificate from a header.
 *
 * @returns `undefined` for anything but one certificate (or a chain that begins with it) in exactly that format
 * @see RFC 9440 §2.2; nginx `$ssl_client_escaped_cert`; Envoy `x-forwarded-client-cert`
 */
export function readCertificateHeader(text: string, format: CertificateFormat): Buffer | undefined {
  if (text.length > maxHeaderLength) return undefined
  const der = readDer(text.trim(), format)
  if (der === undefined) return undefined
  try {
    // More or less than one certificate does not come out as it went in.
    const { raw } = new X509Certificate(der)
    return raw.equals(der) ? der : undefined
  } catch {
    return undefined
  }
}

function readDer(text: string, format: CertificateFormat): Buffer | undefined {
  switch (format) {
    case 'rfc9440': {
      const [, body] = byteSequence.exec(text) ?? []
      return body === undefined ? undefined : fromBase64(body)
    }
    case 'pem-urlencoded':
      return fromEncodedPem(text)
    case 'xfcc':
      return fromForwarded(text)
  }
}

interface PeerSocket {
  readonly remoteAddress?: string
  getPeerCertificate?(detailed: false): { raw?: Buffer } | undefined
}

interface ExpressSettings {
  get?(name: 'trust proxy fn'): unknown
}

/** Whether Express' setting "trust proxy" trusts the peer of the connection. Without Express nothing is trusted. */
function isTrustedProxy(req: PresentingRequest): boolean {
  const { remoteAddress } = (req.socket ?? {}) as PeerSocket
  const trusts = (req.app as ExpressSettings | undefined)?.get?.('trust proxy fn')
  return (
    typeof trusts === 'function' &&
    (trusts as (address: unknown, hop: number) => unknown)(remoteAddress, 0) === true
  )
}

/**
 * The client's certificate as DER: that of the TLS connection, or the one that a trusted proxy in front names.
 *
 * @returns `undefined` where there is none, or one that cannot be believed or read
 */
export function certificateOf(
  req: PresentingRequest,
  source: CertificateSource,
): Buffer | undefined {
  if (source === 'socket') {
    const { raw } = (req.socket as PeerSocket | undefined)?.getPeerCertificate?.(false) ?? {}
    return raw
  }
  if (!isTrustedProxy(req)) return undefined
  const [text, second] = headerValues(req.rawHeaders, source.header)
  return text === undefined || second !== undefined
    ? undefined
    : readCertificateHeader(text, source.format)
}

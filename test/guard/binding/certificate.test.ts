import { describe, expect, test } from '@jest/globals'
import {
  type CertificateFormat,
  readCertificateHeader,
} from '../../../src/guard/binding/certificate.ts'
import { makeCertificates } from '../../support/certificates.ts'

const { clients, authority } = makeCertificates()
const [{ pem, der }, other] = clients
const base64 = der.toString('base64')
const encoded = encodeURIComponent(pem)
/** As nginx writes it: everything but unreserved characters, in upper case. */
const nginx = encoded
/** As AWS writes it: `+`, `=` and `/` stay as they are. */
const aws = pem.replace(/[^A-Za-z0-9+=/._~-]/g, (character) => encodeURIComponent(character))
const hash = 'a'.repeat(64)

describe('a header that is read', () => {
  test.each<[string, CertificateFormat, string]>([
    ['RFC 9440', 'rfc9440', `:${base64}:`],
    ['nginx', 'pem-urlencoded', nginx],
    ['nginx, without the last line break', 'pem-urlencoded', encodeURIComponent(pem.trim())],
    ['AWS', 'pem-urlencoded', aws],
    ['AWS, with the chain', 'pem-urlencoded', aws + encodeURIComponent(authority)],
    ['Envoy', 'xfcc', `Hash=${hash};Cert="${encoded}"`],
    ['Envoy, with names in quotes', 'xfcc', `By=spiffe://a/b;Hash=${hash};Subject="O=\\"A, B; C\\",CN=x";URI=spiffe://c?d=e;Cert="${encoded}"`],
    ['Envoy, without quotes', 'xfcc', `Cert=${encoded}`],
  ])('%s', (_name, format, text) => {
    expect(readCertificateHeader(text, format)).toEqual(der)
  }) // prettier-ignore
})

describe('a header that is not read', () => {
  const last = base64.slice(0, -8)
  test.each<[string, CertificateFormat, string]>([
    ['nothing', 'rfc9440', ''],
    ['base64 without colons', 'rfc9440', base64],
    ['one colon', 'rfc9440', `:${base64}`],
    ['two in one', 'rfc9440', `:${base64}:, :${other.der.toString('base64')}:`],
    ['parameters', 'rfc9440', `:${base64}:;a=b`],
    ['base64url', 'rfc9440', `:${der.toString('base64url')}:`],
    ['line breaks', 'rfc9440', `:${base64.slice(0, 64)}\n${base64.slice(64)}:`],
    ['a part of a certificate', 'rfc9440', `:${last}:`],
    ['more than a certificate', 'rfc9440', `:${Buffer.concat([der, der]).toString('base64')}:`],
    ['PEM', 'rfc9440', `:${Buffer.from(pem).toString('base64')}:`],
    ['no certificate', 'rfc9440', `:${Buffer.from('certificate').toString('base64')}:`],
    ['16 KiB', 'rfc9440', `:${'A'.repeat(16_384)}:`],
    ['PEM that is not encoded', 'pem-urlencoded', pem.replaceAll('\n', ' ').replace('BEGIN CERTIFICATE', 'BEGIN X509')],
    ['a broken escape', 'pem-urlencoded', `${encoded}%`],
    ['base64', 'pem-urlencoded', base64],
    ['a key', 'pem-urlencoded', encodeURIComponent(clients[0].key)],
    ['text in front', 'pem-urlencoded', `x${encoded}`],
    ['text behind', 'pem-urlencoded', `${encoded}x`],
    ['nginx without a certificate', 'pem-urlencoded', '-'],
    ['no Cert', 'xfcc', `Hash=${hash}`],
    ['two proxies', 'xfcc', `Cert="${encoded}",Cert="${encodeURIComponent(other.pem)}"`],
    ['two Certs', 'xfcc', `Cert="${encoded}";Cert="${encodeURIComponent(other.pem)}"`],
    ['a Cert within quotes', 'xfcc', `Subject="CN=x;Cert=${encoded}"`],
    ['an open quote', 'xfcc', `Cert="${encoded}`],
    ['a Chain alone', 'xfcc', `Chain="${encoded}"`],
    ['RFC 9440', 'xfcc', `:${base64}:`],
  ])('%s (%s)', (_name, format, text) => {
    expect(readCertificateHeader(text, format)).toBeUndefined()
  }) // prettier-ignore

  test('takes no longer for quotes and escapes without end', () => {
    const started = performance.now()
    for (const text of ['"\\'.repeat(8000), ';'.repeat(16_000), `Cert=${'='.repeat(16_000)}`, `Cert="${'%'.repeat(16_000)}`, '-----BEGIN CERTIFICATE----- '.repeat(500)]) {
      expect(readCertificateHeader(text, 'xfcc')).toBeUndefined()
      expect(readCertificateHeader(text, 'pem-urlencoded')).toBeUndefined()
    }
    expect(performance.now() - started).toBeLessThan(1000)
  }) // prettier-ignore
})

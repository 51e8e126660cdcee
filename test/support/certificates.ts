import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificate {
  readonly key: string
  readonly pem: string
  readonly der: Buffer
  /** The `x5t#S256` of tokens that are bound to it. */
  readonly thumbprint: string
}

export interface Certificates {
  readonly authority: string
  /** Of 127.0.0.1 and localhost. */
  readonly server: Certificate
  /** Two clients of the authority, and one that signs for itself. */
  readonly clients: readonly [Certificate, Certificate]
  readonly selfSigned: Certificate
}

/** Makes certificates with the command `openssl`, in a folder that is gone afterwards. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'kickout-certificates-'))
  const at = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const read = (name: string): Certificate => {
    const pem = readFileSync(at(`${name}.pem`), 'utf8')
    const der = new X509Certificate(pem).raw
    const thumbprint = createHash('sha256').update(der).digest('base64url')
    return { key: readFileSync(at(`${name}.key`), 'utf8'), pem, der, thumbprint }
  }
  const signed = (name: string, extensions: string): Certificate => {
    writeFileSync(at(`${name}.ext`), extensions)
    openssl(
      'req',
      ...newKey,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${name}`,
    )
    const authority = ['-CA', 'authority.pem', '-CAkey', 'authority.key', '-CAcreateserial']
    openssl('x509', '-req', '-in', `${name}.csr`, ...authority, '-days', '2', '-out', `${name}.pem`, '-extfile', `${name}.ext`) // prettier-ignore
    return read(name)
  }
  const alone = (name: string): Certificate => {
    openssl('req', '-x509', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}`) // prettier-ignore
    return read(name)
  }
  try {
    return {
      authority: alone('authority').pem,
      server: signed('server', 'subjectAltName=DNS:localhost,IP:127.0.0.1'),
      clients: [
        signed('client-a', 'extendedKeyUsage=clientAuth'),
        signed('client-b', 'extendedKeyUsage=clientAuth'),
      ],
      selfSigned: alone('self-signed'),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

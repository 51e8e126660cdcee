import type { JWK, JWTPayload } from 'jose'
import { compactVerify } from 'jose/jws/compact/verify'
import { importJWK } from 'jose/key/import'
import { UnavailableError } from '../../errors.ts'
import { readOptions } from '../../options.ts'
import { within } from '../../timeout.ts'
import { signatureForms } from './jose-signature.ts'
import {
  type CheckedJwk,
  checkJwk,
  headerOf,
  keyError,
  type LoadedKey,
  privateMembers,
  publicJwkOf,
} from './signing-key.ts'

/** A key whose private half is elsewhere: in a key management service, or a hardware module. */
export interface ExternalSigningKey {
  /** The public half. Without `kid` its thumbprint is the name. */
  publicJwk: JWK
  /**
   * Signs the bytes of `header.payload` by the algorithm of the key, hash included. An ECDSA signature may be in the form of
   * JOSE (two numbers side by side) or DER. Slower than two seconds, or failed: the request is 503.
   */
  sign: (data: Uint8Array) => Promise<Uint8Array>
}

const signTimeoutMs = 2000

export function isExternal(key: unknown): key is ExternalSigningKey {
  return typeof key === 'object' && key !== null && 'sign' in key
}

/** A key that was checked as far as that is possible without asking for a signature. */
export interface CheckedExternalKey extends CheckedJwk {
  readonly sign: ExternalSigningKey['sign']
}

/** @throws TypeError that names the option */
export function checkExternalKey(option: string, key: ExternalSigningKey): CheckedExternalKey {
  readOptions(`createIssuer: ${option}`, key, ['publicJwk', 'sign'])
  const { publicJwk, sign } = key as { publicJwk: unknown; sign: unknown }
  if (typeof sign !== 'function') {
    throw keyError(`${option}.sign`, 'must be a function (data) => Promise<Uint8Array>')
  }
  if (typeof publicJwk !== 'object' || publicJwk === null) {
    throw keyError(`${option}.publicJwk`, 'must be the public JWK of the key')
  }
  if (privateMembers.some((member) => member in publicJwk)) {
    throw keyError(`${option}.publicJwk`, 'must be a public JWK, and has a private member')
  }
  return { ...checkJwk(`${option}.publicJwk`, publicJwk), sign: key.sign.bind(key) }
}

function unavailable(kid: string, what: string, cause?: unknown): UnavailableError {
  return new UnavailableError('signing', `The external signing key "${kid}" ${what}`, { cause })
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/**
 * Each signature is verified before the token goes out: a service whose key was exchanged under the same name is 503, not a
 * token that every resource server refuses.
 */
export async function loadExternalKey(checked: CheckedExternalKey): Promise<LoadedKey> {
  const publicJwk = await publicJwkOf(checked)
  const { algorithm } = checked
  const { kid } = publicJwk
  const key = await importJWK(publicJwk, algorithm)
  const header = base64url(headerOf({ kid, algorithm }))

  async function isGood(token: string): Promise<boolean> {
    return compactVerify(token, key, { algorithms: [algorithm] }).then(
      () => true,
      () => false,
    )
  }

  async function ask(data: Uint8Array): Promise<Uint8Array> {
    let signature: unknown
    try {
      // Called within a promise, so that one which throws at once is no exception.
      const asked = Promise.resolve().then(async () => checked.sign(data))
      signature = await within(asked, signTimeoutMs, 'The signature')
    } catch (cause) {
      throw unavailable(kid, 'could not sign', cause)
    }
    if (signature instanceof Uint8Array) return signature
    throw unavailable(kid, 'returned no Uint8Array from "sign"')
  }

  async function sign(payload: JWTPayload): Promise<string> {
    const input = `${header}.${base64url(payload)}`
    const signature = await ask(new TextEncoder().encode(input))
    for (const form of signatureForms(algorithm, signature)) {
      const token = `${input}.${Buffer.from(form).toString('base64url')}`
      if (await isGood(token)) return token
    }
    const hint = `${signature.byteLength} bytes came back from "sign"; it has to sign the bytes that it gets by ${algorithm}`
    throw unavailable(kid, `made a signature that "publicJwk" does not verify: ${hint}`)
  }

  return { signer: { kid, algorithm, isExternal: true, sign }, publicJwk }
}

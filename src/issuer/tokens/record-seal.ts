import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { SessionRecord } from '../sessions/session-store.ts'

/** The parts of a session record that never change and that an access token is made of. */
export type SealedRecord = Pick<
  SessionRecord,
  | 'sessionId'
  | 'issuer'
  | 'subject'
  | 'clientId'
  | 'scopes'
  | 'authentication'
  | 'startedAt'
  | 'absoluteUntil'
  | 'version'
>

const cipher = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

/** One text for each record: JSON keeps the borders between the parts. */
export function sealedText(record: SealedRecord): string {
  const { acr, amr, authTime, jkt } = record.authentication
  return JSON.stringify([
    record.sessionId,
    record.issuer,
    record.subject,
    record.clientId ?? null,
    record.scopes,
    acr ?? null,
    amr ?? null,
    authTime ?? null,
    record.startedAt,
    record.absoluteUntil,
    record.version,
    // At the end and only where there is one, so that the seals of other sessions stay as they were.
    ...(jkt === undefined ? [] : [jkt]),
  ])
}

/**
 * Encrypts the handle of a session so that it opens with its very record only: base64url( nonce, tag, handle ), AES-256-GCM
 * with the record as additional data.
 */
export function sealRecord(handle: Buffer, record: SealedRecord, key: Buffer): string {
  const nonce = randomBytes(nonceBytes)
  const sealing = createCipheriv(cipher, key, nonce, { authTagLength: tagBytes })
  sealing.setAAD(Buffer.from(sealedText(record)))
  const hidden = Buffer.concat([sealing.update(handle), sealing.final()])
  return Buffer.concat([nonce, sealing.getAuthTag(), hidden]).toString('base64url')
}

/** @returns `undefined` where the key or the record is another one */
export function openRecord(sealed: string, record: SealedRecord, key: Buffer): Buffer | undefined {
  const bytes = Buffer.from(sealed, 'base64url')
  const nonce = bytes.subarray(0, nonceBytes)
  const tag = bytes.subarray(nonceBytes, nonceBytes + tagBytes)
  if (tag.length < tagBytes) return undefined
  const opening = createDecipheriv(cipher, key, nonce, { authTagLength: tagBytes })
  opening.setAAD(Buffer.from(sealedText(record))).setAuthTag(tag)
  try {
    return Buffer.concat([opening.update(bytes.subarray(nonceBytes + tagBytes)), opening.final()])
  } catch {
    return undefined
  }
}

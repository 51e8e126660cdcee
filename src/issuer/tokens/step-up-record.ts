import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Authentication, SessionRecord } from '../sessions/session-store.ts'

/** The parts of a session record that a step-up belongs to. */
export type SteppedUpRecord = Pick<
  SessionRecord,
  'sessionId' | 'issuer' | 'subject' | 'startedAt' | 'version' | 'authentication' | 'stepUp'
>

type SteppedUp = Pick<Authentication, 'acr' | 'amr' | 'authTime'>

function sealOf(record: SteppedUpRecord, { acr, amr, authTime }: SteppedUp, key: Buffer): Buffer {
  const text = JSON.stringify([
    // No session id looks like it: the seals of records, under the same key, begin with one.
    'step-up',
    record.sessionId,
    record.issuer,
    record.subject,
    record.startedAt,
    record.version,
    acr ?? null,
    amr ?? null,
    authTime ?? null,
  ])
  return createHmac('sha256', key).update(text).digest()
}

/**
 * The text of a step-up, sealed to its session. The same facts give the same text. An attacker who can write to the store but
 * lacks the secret can only remove a step-up, or restore an older one of the same session.
 */
export function makeStepUp(
  record: SteppedUpRecord,
  { acr, amr, authTime }: SteppedUp,
  key: Buffer,
): string {
  const facts: SteppedUp = {
    ...(acr !== undefined && { acr }),
    ...(amr !== undefined && { amr }),
    ...(authTime !== undefined && { authTime }),
  }
  return JSON.stringify({ ...facts, seal: sealOf(record, facts, key).toString('base64url') })
}

/** @returns `undefined` where it is not one that {@link makeStepUp} has made for this session, under any of the keys */
export function readStepUp(
  record: SteppedUpRecord,
  text: string,
  keys: readonly Buffer[],
): SteppedUp | undefined {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof given !== 'object' || given === null) return undefined
  const { seal, ...facts } = given as SteppedUp & { seal?: unknown }
  const { acr, amr, authTime } = facts
  const sealed = Buffer.from(typeof seal === 'string' ? seal : '', 'base64url')
  const fits = keys.some((key) => {
    const wanted = sealOf(record, facts, key)
    return sealed.length === wanted.length && timingSafeEqual(sealed, wanted)
  })
  if (!fits) return undefined
  return {
    ...(acr !== undefined && { acr }),
    ...(amr !== undefined && { amr }),
    ...(authTime !== undefined && { authTime }),
  }
}

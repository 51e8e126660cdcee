import type { Request } from 'express'
import { decodeJwt } from 'jose/jwt/decode'
import { type Clock, systemClock } from '../clock.ts'
import { UnavailableError } from '../errors.ts'
import { emitterOf } from '../events.ts'
import { isIdentifier } from '../identifier.ts'
import { assertOptions, optionError, readFunction, readString } from '../options.ts'
import { headerValues } from '../raw-headers.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import {
  defaultRetentionSeconds,
  type KickOutOptions,
  type KickOutResult,
  type Revocations,
} from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'
import { readBody, receiver, Refusal, type SignalHandler } from './receiver.ts'
import { keySetOfSender, type SenderKeys } from './sender-keys.ts'
import type { SignalEvent } from './signal-event.ts'
import {
  momentOf,
  SignalRefused,
  type SignalPolicy,
  toleranceSeconds,
  type VerifiedSignal,
  verifySignal,
} from './signed-signal.ts'
import { readSubjectId, type SubjectId } from './subject-id.ts'
import { readReplay, TakenSignals } from './taken-signals.ts'

/** A sender that may request the logout of a user, such as an Okta organisation. */
export interface TrustedSender extends SenderKeys {
  /** The exact `iss` of its requests: at Okta the address of the organisation. */
  issuer: string
  /** The `aud` of its requests: the address of this endpoint, as the sender knows it. */
  audience: string
  /**
   * Whether it may log out the users of the issuer of your tokens. Without it a trusted sender may.
   *
   * @param issuerOfTokens - the issuer whose users would be kicked out
   */
  subjects?: (issuerOfTokens: string) => boolean
}

/** The part of an `Issuer` that a logout needs. */
export interface LogoutIssuer {
  /** Whose `issuer` is that of the tokens. */
  readonly revocations: Revocations
  /** Ends the sessions too. */
  kickOut(target: KickOutTarget, options?: KickOutOptions): Promise<KickOutResult>
}

/** What `universalLogout` is given. Exactly one of `issuer` and `revocations`. */
export interface UniversalLogoutOptions {
  /** An issuer with its sessions: a logout ends them too. */
  issuer?: LogoutIssuer
  /** Kick-outs alone; they have to be made with the option `issuer`, the `iss` of your tokens. */
  revocations?: Revocations
  /** Who may send: several, with different names. */
  trusted: TrustedSender[]
  /**
   * Finds the user: returns the `sub` of your tokens, or several. `undefined` or `[]`: no such user, which is answered with
   * 404. An error of the function is answered with 503.
   */
  findSubject: (
    subjectId: SubjectId,
  ) => string | string[] | undefined | Promise<string | string[] | undefined>
  /**
   * Remembers which requests were taken in: a repetition is answered with 204 and does nothing.
   *
   * @defaultValue memoryReplayStore()
   */
  replay?: ReplayStore
  /** Receives each request that was taken or refused; never a token. */
  onEvent?: (event: SignalEvent) => void
}

const where = 'universalLogout'
const optionNames = [
  'issuer',
  'revocations',
  'trusted',
  'findSubject',
  'replay',
  'onEvent',
] as const satisfies readonly (keyof UniversalLogoutOptions)[]
const trustedNames = [
  'issuer',
  'audience',
  'jwks',
  'jwksUri',
  'subjects',
] as const satisfies readonly (keyof TrustedSender)[]
/** Okta names the first; the draft names none. */
const acceptedTypes = ['global-token-revocation+jwt', 'jwt', undefined]
/** Okta's requests are valid for so long. */
const maxAgeSeconds = 300
const lifetimeMs = (maxAgeSeconds + 2 * toleranceSeconds) * 1000
const maxSubjects = 100

interface Sender extends SignalPolicy {
  readonly mayLogOut: (issuerOfTokens: string) => boolean
}

function readSender(
  at: string,
  given: TrustedSender,
  retentionSeconds: number,
  clock: Clock,
): Sender {
  assertOptions(`${where}: ${at}`, given, trustedNames)
  const issuer = readString(where, `${at}.issuer`, given.issuer)
  if (issuer === undefined) throw optionError(where, `${at}.issuer`, 'is missing')
  const audience = readString(where, `${at}.audience`, given.audience)
  if (audience === undefined) throw optionError(where, `${at}.audience`, 'is missing')
  return {
    issuer,
    audience,
    types: acceptedTypes,
    // What happened longer ago than kick-outs are kept cannot be kicked out any more.
    maxAgeSeconds: Math.max(1, Math.min(maxAgeSeconds, retentionSeconds - 2 * toleranceSeconds)),
    keySet: keySetOfSender(where, `${at}.`, issuer, given, clock),
    clock,
    assertKind: () => undefined,
    mayLogOut: readFunction(where, `${at}.subjects`, given.subjects) ?? (() => true),
  }
}

function readSenders(
  trusted: unknown,
  retentionSeconds: number,
  clock: Clock,
): ReadonlyMap<string, Sender> {
  if (!Array.isArray(trusted) || trusted.length === 0)
    throw optionError(where, 'trusted', 'must be a list with at least one sender')
  const senders = new Map<string, Sender>()
  trusted.forEach((given: TrustedSender, index) => {
    const sender = readSender(`trusted[${index}]`, given, retentionSeconds, clock)
    if (senders.has(sender.issuer))
      throw optionError(where, `trusted[${index}].issuer`, 'is listed twice')
    senders.set(sender.issuer, sender)
  })
  return senders
}

/** Where a logout goes, and whose users it is about. */
interface Recipient {
  readonly issuer: string
  readonly retentionSeconds: number
  kickOut(target: KickOutTarget, options: KickOutOptions): Promise<KickOutResult>
  ready(): Promise<void>
}

function readRecipient({ issuer, revocations }: UniversalLogoutOptions): Recipient {
  const target: unknown = issuer ?? revocations
  if ((issuer === undefined) === (revocations === undefined))
    throw optionError(where, 'issuer', 'must be given, or "revocations", and not both')
  const isSound = typeof (target as Partial<LogoutIssuer> | null)?.kickOut === 'function'
  const name = (issuer?.revocations ?? revocations)?.issuer
  if (!isSound || (issuer && !(issuer.revocations as unknown)))
    throw optionError(
      where,
      issuer ? 'issuer' : 'revocations',
      'must be what createIssuer() returns, or Revocations as the guard has them',
    )
  if (name === undefined) {
    throw optionError(
      where,
      'revocations',
      'must be made with the option "issuer", the "iss" of your tokens, as in redisRevocations(redis, { issuer }): ' +
        'otherwise nothing says whose user a subject is',
    )
  }
  const receives = target as Pick<LogoutIssuer, 'kickOut'>
  const log = (issuer?.revocations ?? revocations) as Revocations
  return {
    issuer: name,
    retentionSeconds: log.retentionSeconds ?? defaultRetentionSeconds,
    kickOut: async (...given) => receives.kickOut(...given),
    ready: async () => log.ready(),
  }
}

function unauthorized(message: string): Refusal {
  return new Refusal(401, 'invalid_token', message, {
    'WWW-Authenticate': 'Bearer error="invalid_token"',
  })
}

/** @see RFC 6750 §2.1 */
function readAssertion(req: Request): string {
  const [header, second] = headerValues(req.rawHeaders, 'authorization')
  const [, token] = /^Bearer ([A-Za-z0-9._-]+)$/i.exec(header ?? '') ?? []
  if (token !== undefined && second === undefined) return token
  throw new Refusal(401, 'invalid_token', 'Send one signed JWT as a bearer token', {
    'WWW-Authenticate': 'Bearer',
  })
}

/** Whom the request says that it comes from, unverified. */
function claimedSender(token: string, senders: ReadonlyMap<string, Sender>): Sender | undefined {
  try {
    return senders.get(decodeJwt(token).iss ?? '')
  } catch {
    return undefined
  }
}

async function readJson(req: Request): Promise<unknown> {
  if (req.is('application/json') === false)
    throw new Refusal(400, 'invalid_request', 'The body must be application/json')
  const body = await readBody(req)
  if (typeof body !== 'string') return body
  try {
    return JSON.parse(body) as unknown
  } catch {
    throw new Refusal(400, 'invalid_request', 'The body is not JSON')
  }
}

/** What the application throws is kept out of the answer, and told in the event. */
async function find(
  subjectId: SubjectId,
  findSubject: UniversalLogoutOptions['findSubject'],
): Promise<readonly string[]> {
  let found: unknown
  try {
    found = (await findSubject(subjectId)) ?? []
  } catch (cause) {
    throw new UnavailableError('sessions', 'The option "findSubject" of universalLogout failed', {
      cause,
    })
  }
  const subjects: unknown[] = Array.isArray(found) ? found : [found]
  if (!subjects.every(isIdentifier) || subjects.length > maxSubjects) {
    throw new TypeError(
      `${where}: option "findSubject" must return the "sub" of a user, at most ${maxSubjects} of them, or undefined`,
    )
  }
  return subjects
}

/**
 * Receives Global Token Revocation requests, which Okta sends as Universal Logout: the user is kicked out, and with
 * `issuer` the sessions end too. Access tokens are out on every server at once.
 *
 * It kicks out as of the `iat` of the request, so that a repetition is harmless and a user who has signed in since stays in.
 * 204 after it is stored; 400 for a malformed body, 401 for a request that is not signed by a trusted sender, 403 where
 * `subjects` says no, 404 where `findSubject` finds no user; 503 when the keys of the sender or the store cannot be reached.
 *
 * @throws TypeError for wrong options
 * @see draft-parecki-oauth-global-token-revocation, RFC 9493
 */
export function universalLogout(options: UniversalLogoutOptions): SignalHandler {
  return createUniversalLogout(options, systemClock)
}

function createUniversalLogout(options: UniversalLogoutOptions, clock: Clock): SignalHandler {
  assertOptions(where, options, optionNames)
  const recipient = readRecipient(options)
  const senders = readSenders(options.trusted, recipient.retentionSeconds, clock)
  const findSubject = readFunction(where, 'findSubject', options.findSubject)
  if (!findSubject) throw optionError(where, 'findSubject', 'is missing')
  const emit = emitterOf(readFunction(where, 'onEvent', options.onEvent))
  const taken = new TakenSignals(readReplay(where, options.replay, clock), 'universal-logout')

  async function authenticate(
    req: Request,
  ): Promise<{ sender: Sender; claims: VerifiedSignal['claims'] }> {
    const token = readAssertion(req)
    const sender = claimedSender(token, senders)
    if (!sender) throw unauthorized('The sender is not a trusted one')
    try {
      return { sender, claims: (await verifySignal(token, sender)).claims }
    } catch (error) {
      throw error instanceof SignalRefused ? unauthorized(error.message) : error
    }
  }

  /** @returns how many users were kicked out; 0 for a repetition */
  async function take(
    req: Request,
    { sender, claims }: { sender: Sender; claims: VerifiedSignal['claims'] },
  ): Promise<number> {
    const subjectId = readSubjectId(await readJson(req))
    // A promise, which an asynchronous function returns, is no answer.
    if ((sender.mayLogOut(recipient.issuer) as unknown) !== true)
      throw new Refusal(403, 'access_denied', 'The sender may not log these users out')
    const id = [sender.issuer, sender.audience, claims.jti]
    const idOfBody = [...id, JSON.stringify(subjectId)]
    if (await taken.has(idOfBody)) return 0
    // The signature does not cover the body: one request must not be used to log out another user.
    if (await taken.has(id)) throw unauthorized('The "jti" was used for another user')
    const subjects = await find(subjectId, findSubject as UniversalLogoutOptions['findSubject'])
    if (subjects.length === 0) throw new Refusal(404, 'not_found', 'There is no such user')
    const at = momentOf(claims.iat, clock)
    for (const subject of subjects) {
      await recipient.kickOut(
        { issuer: recipient.issuer, subject },
        { at, reason: 'universal logout', confirmTimeoutMs: 0 },
      )
    }
    await taken.add(id, lifetimeMs)
    await taken.add(idOfBody, lifetimeMs)
    return subjects.length
  }

  const handler = receiver(async (req, res) => {
    let issuer = ''
    try {
      const authenticated = await authenticate(req)
      issuer = authenticated.sender.issuer
      const kickOuts = await take(req, authenticated)
      emit({ type: 'signal.received', issuer, kickOuts })
    } catch (error) {
      const { message } = error as Error
      emit({ type: 'signal.rejected', issuer, message })
      throw error
    }
    res.status(204).end()
  })
  return Object.assign(handler, {
    async ready() {
      const keys = [...senders.values()].map(async ({ keySet }) => keySet.ready())
      await Promise.all([...keys, recipient.ready()])
    },
  })
}

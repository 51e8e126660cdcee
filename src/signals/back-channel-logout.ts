import type { JWTPayload } from 'jose'
import { type Clock, systemClock } from '../clock.ts'
import { emitterOf } from '../events.ts'
import { isIdentifier } from '../identifier.ts'
import { assertOptions, optionError, readFunction, readNumber, readString } from '../options.ts'
import type { Revocations } from '../revocation/revocations.ts'
import { defaultRetentionSeconds } from '../revocation/revocations.ts'
import type { KickOutTarget } from '../revocation/target.ts'
import type { ReplayStore } from '../replay/replay-store.ts'
import { readBody, receiver, Refusal, type SignalHandler } from './receiver.ts'
import { keySetOfSender, type SenderKeys } from './sender-keys.ts'
import {
  momentOf,
  refuse,
  SignalRefused,
  type SignalPolicy,
  toleranceSeconds,
  verifySignal,
} from './signed-signal.ts'
import type { SignalEvent } from './signal-event.ts'
import { readReplay, TakenSignals } from './taken-signals.ts'

/** What a logout token says, verified. */
export type LogoutClaims = JWTPayload & {
  /** The session that ended. */
  readonly sid?: string
  /** What happened, by the URI of the event. */
  readonly events: Readonly<Record<string, unknown>>
}

/** What `backChannelLogout` is given. */
export interface BackChannelLogoutOptions extends SenderKeys {
  /** The provider: the exact `iss` of its logout tokens. */
  issuer: string
  /** The client that the provider knows you as: the `aud` of its logout tokens. */
  clientId: string
  /** Where a logout kicks out: what the guards check, too. */
  revocations: Revocations
  /**
   * Whom a logout kicks out. `'subject'`: the user (`sub`, else `sid`), since most access tokens carry no `sid`.
   * `'session'`: the session (`sid`, else `sub`), where they do. Or a function, which may return `undefined` to kick out no
   * one.
   *
   * @defaultValue 'subject'
   */
  target?:
    'subject' | 'session' | ((claims: LogoutClaims) => KickOutTarget | KickOutTarget[] | undefined)
  /**
   * How old a logout token may be by its `iat`, seconds.
   *
   * @defaultValue 300
   */
  maxAgeSeconds?: number
  /**
   * Remembers which logout tokens were taken in: a repetition is answered with 200 and does nothing.
   *
   * @defaultValue memoryReplayStore()
   */
  replay?: ReplayStore
  /** Receives each logout token that was taken or refused; never a token. */
  onEvent?: (event: SignalEvent) => void
}

const where = 'backChannelLogout'
const optionNames = [
  'issuer',
  'clientId',
  'revocations',
  'jwks',
  'jwksUri',
  'target',
  'maxAgeSeconds',
  'replay',
  'onEvent',
] as const satisfies readonly (keyof BackChannelLogoutOptions)[]
const formType = 'application/x-www-form-urlencoded'
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'
const acceptedTypes = [undefined, 'jwt', 'logout+jwt']
const maxTargets = 100

/** The default of every option that has one. */
const backChannelLogoutDefaults = { target: 'subject', maxAgeSeconds: 300 } as const

/** @see OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6 */
function assertLogout(claims: JWTPayload): void {
  const { events, nonce, sub, sid } = claims as Record<string, unknown>
  if (nonce !== undefined) refuse('A logout token must have no "nonce"')
  const event =
    typeof events === 'object' && events !== null && Object.hasOwn(events, logoutEvent)
      ? (events as Record<string, unknown>)[logoutEvent]
      : undefined
  if (typeof event !== 'object' || event === null || Array.isArray(event))
    refuse('The "events" do not say that it is a logout token')
  for (const [name, id] of Object.entries({ sub, sid })) {
    if (id !== undefined && !isIdentifier(id)) refuse(`The "${name}" is of a wrong type`)
  }
  if (sub === undefined && sid === undefined) refuse('Neither "sub" nor "sid" is there')
}

function targetsOf(
  claims: LogoutClaims,
  { issuer, target = 'subject' }: BackChannelLogoutOptions,
): readonly KickOutTarget[] {
  if (typeof target === 'function') {
    const targets = target(claims) ?? []
    return (Array.isArray(targets) ? targets : [targets])
      .slice(0, maxTargets)
      .map((one) => ({ ...one, issuer: one.issuer ?? issuer }))
  }
  const { sub, sid } = claims
  const bySubject = sub === undefined ? undefined : { issuer, subject: sub }
  const bySession = sid === undefined ? undefined : { issuer, session: sid }
  const chosen = target === 'subject' ? (bySubject ?? bySession) : (bySession ?? bySubject)
  return chosen ? [chosen] : []
}

/** The one logout token of a form. Other fields are ignored. */
function readLogoutToken(body: unknown): string {
  const values: unknown[] =
    typeof body === 'string'
      ? new URLSearchParams(body).getAll('logout_token')
      : [(body as { logout_token?: unknown } | null)?.logout_token]
  const [token, second] = values
  if (typeof token !== 'string' || token === '' || second !== undefined) {
    throw new Refusal(400, 'invalid_request', 'The form must have one "logout_token"')
  }
  return token
}

/**
 * Receives the logout tokens of an OpenID provider: who logs out, or is banned, there is kicked out here, and the access
 * tokens with them. Give its address to the provider as `backchannel_logout_uri`.
 *
 * It kicks out as of the token's `iat`, so that a repetition is harmless and who has signed in since stays in. 200, or 400
 * for a token that is not good; 503 when the keys of the provider or the store cannot be had.
 *
 * @throws TypeError for wrong options
 * @see OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8
 */
export function backChannelLogout(options: BackChannelLogoutOptions): SignalHandler {
  return createBackChannelLogout(options, systemClock)
}

function createBackChannelLogout(options: BackChannelLogoutOptions, clock: Clock): SignalHandler {
  assertOptions(where, options, optionNames)
  const issuer = readString(where, 'issuer', options.issuer)
  if (issuer === undefined) throw optionError(where, 'issuer', 'is missing')
  const audience = readString(where, 'clientId', options.clientId)
  if (audience === undefined) throw optionError(where, 'clientId', 'is missing')
  const { revocations, target } = options
  if (typeof (revocations as Partial<Revocations> | undefined)?.kickOut !== 'function')
    throw optionError(where, 'revocations', 'must be Revocations, as the guard has them')
  if (
    target !== undefined &&
    typeof target !== 'function' &&
    !['subject', 'session'].includes(target)
  )
    throw optionError(where, 'target', "must be 'subject', 'session' or a function")
  const emit = emitterOf(readFunction(where, 'onEvent', options.onEvent))
  const retentionSeconds = revocations.retentionSeconds ?? defaultRetentionSeconds
  const policy: SignalPolicy = {
    issuer,
    audience,
    types: acceptedTypes,
    maxAgeSeconds: readNumber(where, 'maxAgeSeconds', options.maxAgeSeconds, {
      fallback: backChannelLogoutDefaults.maxAgeSeconds,
      min: 1,
      // What happened longer ago than kick-outs are kept cannot be kicked out any more.
      max: Math.max(1, retentionSeconds - 2 * toleranceSeconds),
    }),
    keySet: keySetOfSender(where, '', issuer, options, clock),
    clock,
    assertKind: assertLogout,
  }
  const taken = new TakenSignals(readReplay(where, options.replay, clock), 'logout-token')
  const lifetimeMs = (policy.maxAgeSeconds + 2 * toleranceSeconds) * 1000

  const handler = receiver(async (req, res) => {
    if (req.is(formType) === false)
      throw new Refusal(400, 'invalid_request', `The body must be ${formType}`)
    const token = readLogoutToken(await readBody(req))
    let claims: LogoutClaims & { readonly jti: string; readonly iat: number }
    try {
      claims = (await verifySignal(token, policy)).claims as typeof claims
    } catch (error) {
      if (!(error instanceof SignalRefused)) throw error
      emit({ type: 'signal.rejected', issuer, message: error.message })
      throw new Refusal(400, 'invalid_request', error.message)
    }
    const id = [issuer, audience, claims.jti]
    const targets = (await taken.has(id)) ? [] : targetsOf(claims, options)
    const at = momentOf(claims.iat, clock)
    for (const one of targets) {
      await revocations.kickOut(one, { at, reason: 'back-channel logout', confirmTimeoutMs: 0 })
    }
    if (targets.length > 0) await taken.add(id, lifetimeMs)
    emit({ type: 'signal.received', issuer, kickOuts: targets.length })
    res.status(200).end()
  })
  return Object.assign(handler, {
    async ready() {
      await Promise.all([policy.keySet.ready(), revocations.ready()])
    },
  })
}

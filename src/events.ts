import type { AuthErrorCode, AuthErrorReason, UnavailableReason } from './errors.ts'

/** What all events have. */
interface EventOf<Type extends string> {
  /** Which event. */
  readonly type: Type
  /** When, milliseconds since the epoch. */
  readonly at: number
}

/** What `onEvent` of `requireAuth` receives. Fields are bounded; no token, cookie or secret is ever among them. */
export type GuardEvent =
  | (EventOf<'auth.rejected'> & {
      /** The code of the error. */
      readonly code: AuthErrorCode | 'temporarily_unavailable'
      /** Why; bounded, so that it can be a metric label. */
      readonly reason: AuthErrorReason | UnavailableReason
    })
  | (EventOf<'jwks.refreshed'> & {
      /** Whose keys. */
      readonly issuer: string
      /** How many are held now. */
      readonly keys: number
      /** How long fetching them took, discovery included. Absent where nothing was fetched: keys that were given. */
      readonly durationMs?: number
      /** Keys that were left out, with the reason. */
      readonly dropped: readonly { readonly kid: string | undefined; readonly reason: string }[]
    })
  | (EventOf<'jwks.failed'> & {
      /** Whose keys. */
      readonly issuer: string
      /** What happened, without any part of the answer. */
      readonly message: string
      /** How long it took to fail. Absent where nothing was fetched. */
      readonly durationMs?: number
    })
  /** Several worker processes, each with revocations of its own: a kick-out reaches one of them. */
  | (EventOf<'revocations.per_process'> & {
      /** What is wrong, and what to do. */
      readonly message: string
    })

/** A kick-out is in the log; `confirmed` of `servers` live resource servers had it when the call resolved. */
interface KickOutPublished extends EventOf<'kickout.published'> {
  readonly id: string
  readonly level: string
  readonly servers: number
  readonly confirmed: number
  readonly elapsedMs: number
}

/** The store did not take a kick-out, or not within its time. Repeating it is safe. */
interface KickOutFailed extends EventOf<'kickout.failed'> {
  readonly level: string
  readonly elapsedMs: number
  /** What the store said. */
  readonly message: string
}

/** What `onEvent` of the revocation implementations receives. */
export type RevocationsEvent =
  | (EventOf<'revocations.state'> & {
      /** The state before. */
      readonly from: RevocationsState
      /** The state now. */
      readonly to: RevocationsState
      /** How old the proof is, milliseconds. */
      readonly stalenessMs: number
      /** What Redis said, where that is why. */
      readonly message?: string
    })
  | (EventOf<'revocations.gap'> & {
      /** The partition whose log did not continue. */
      readonly partition: number
      /** What gave it away: `epoch`, `failover`, `regressed`, `sequence`, `entry`, `window`. */
      readonly reason: string
    })
  | KickOutPublished
  | KickOutFailed

/** How a copy of the kick-outs is doing: `live` is proved fresh, `stale` is older than `maxStalenessMs`. */
export type RevocationsState = 'starting' | 'live' | 'stale' | 'closed'

/** Why a session ended. */
export type SessionEndReason =
  | 'logout'
  | 'revoked'
  | 'reused'
  | 'kicked_out'
  /** The user had `maxPerSubject` sessions, and this was the least recently used one. */
  | 'limit'
  /** The same browser signed in again. */
  | 'replaced'
  /** `risk` said so. */
  | 'suspicious'
  /** The application ended it: `issuer.endSession`, or `claims` refused it. */
  | 'app'

/** What `onEvent` of `createIssuer` receives. */
export type IssuerEvent =
  | SessionEvent<'session.started'>
  | SessionEvent<'session.refreshed'>
  /** The user signed in again within the session: `issuer.stepUp`. */
  | SessionEvent<'session.stepped_up'>
  | SessionEvent<'refresh.retried'>
  | SessionEvent<'refresh.reused'>
  | SessionEvent<'refresh.fast_forwarded'>
  | (EventOf<'session.ended'> & {
      /** The session that ended. */
      readonly sessionId: string
      /** Whose session, where that is known. */
      readonly subject?: string
      /** Why it ended. */
      readonly reason: SessionEndReason
    })
  /** A client or everyone was kicked out: all sessions that began before have ended, without an event of their own. */
  | (EventOf<'session.ended'> & {
      /** Whose sessions: those of a client, or all. */
      readonly level: 'client' | 'everyone'
      /** The client. */
      readonly clientId?: string
      /** Always a kick-out. */
      readonly reason: 'kicked_out'
    })
  /** A request to `/token`, `/revoke`, `/introspect` or `/logout` was refused. */
  | (EventOf<'grant.rejected'> & {
      /** The path below the router. */
      readonly endpoint: string
      /** The `error` of the answer. */
      readonly code: string
      /** Why; bounded, so that it can be a metric label. */
      readonly reason: string
    })
  /** A refresh token came back after the grace, within `lostAnswerSeconds`, and its successor had never been used. */
  | SessionEvent<'refresh.retried_late'>
  /** A signing key was made in this process: after a restart there is another one, and all tokens of before are refused. */
  | (EventOf<'signing_key.not_kept'> & {
      /** The `kid` of the key. */
      readonly kid: string
    })
  /** This process has made the next signing key. */
  | (EventOf<'signing_key.created'> & {
      /** The `kid` of the key. */
      readonly kid: string
      /** When it begins to sign, by the clock of the key store, milliseconds. */
      readonly signsAt: number
    })
  /** The key store could not be read or written, or holds keys that must not be used. Told once while it lasts. */
  | (EventOf<'signing_keys.failed'> & {
      /** What happened, and what to do. */
      readonly message: string
      /** Whether this process knows keys, and goes on with them. */
      readonly known: boolean
    })
  /** The record of a session was changed in the store without `refreshTokenSecret`; the session was ended. */
  | (EventOf<'session.tampered'> & {
      /** The session that ended. */
      readonly sessionId: string
    })
  | KickOutPublished
  | (EventOf<'store.insecure_default'> & {
      /** What is wrong, and what to do. */
      readonly message: string
    })

interface SessionEvent<Type extends string> extends EventOf<Type> {
  readonly sessionId: string
  readonly subject: string
  readonly clientId?: string
}

/** Leaves out `at`, which the emitter writes. Distributes over a union. */
export type EventFacts<Event> = Event extends unknown ? Omit<Event, 'at'> : never

export type Emit<Event> = (event: EventFacts<Event>) => void

/** A promise of any make: that of another realm, such as a sandbox of Jest, is no `instanceof Promise`. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

/** Sends events to the listener of an option, and to whatever listens beside it. */
export interface EventSource<Event> extends Emit<Event> {
  /** Adds a listener. Returns the way to remove it. */
  listen(listener: (event: Event) => unknown): () => void
}

/**
 * Wraps a user's listener: adds the moment, and lets nothing that it throws change what happens. Each listener gets an
 * object of its own.
 */
export function emitterOf<Event extends { at: number }>(
  listener: ((event: Event) => unknown) | undefined,
): EventSource<Event> {
  const listeners = new Set(listener ? [listener] : [])
  const emit: Emit<Event> = (facts) => {
    for (const heard of listeners) {
      try {
        const answer = heard({ ...facts, at: Date.now() } as unknown as Event)
        if (isThenable(answer)) answer.then(undefined, () => undefined)
      } catch {
        // A listener's failure is its own.
      }
    }
  }
  return Object.assign(emit, {
    listen(added: (event: Event) => unknown) {
      const own = (event: Event): unknown => added(event)
      listeners.add(own)
      return () => void listeners.delete(own)
    },
  })
}

/** Where guards and revocations lend their events, across copies of the package. */
const sourceMark = Symbol.for('express-kickout.event-source')

/** Lets {@link eventSourceOf} find the events of a guard or of revocations. */
export function lendEvents<Target extends object>(
  target: Target,
  source: object | undefined,
): Target {
  return Object.defineProperty(target, sourceMark, { value: source })
}

/** The events of a guard or of revocations, or `undefined` for an implementation that is not of this package. */
export function eventSourceOf<Event>(
  target: object,
): Pick<EventSource<Event>, 'listen'> | undefined {
  return (target as { [sourceMark]?: EventSource<Event> })[sourceMark]
}

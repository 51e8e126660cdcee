import type { Request, RequestHandler, Response } from 'express'
import type { Auth } from '../../src/auth.ts'
import type { GuardEvent } from '../../src/events.ts'
import type { Fetch } from '../../src/guard/keys/fetch-json.ts'
import { type AuthHandler, createGuard } from '../../src/guard/middleware.ts'
import type { RequireAuthOptions } from '../../src/guard/require-auth-options.ts'
import { readSettings } from '../../src/guard/options.ts'
import { FakeClock } from './fake-clock.ts'
import { audience, claimsAt, issuer, makeSigner, type Signer } from './make-token.ts'

export interface Outcome {
  /** What went to `next`; `undefined` when the request went on. */
  readonly error: unknown
  readonly auth: Auth | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly req: object
}

/** The error's fields that the table of the contract names. */
export function factsOf(error: unknown): { status?: unknown; code?: unknown; reason?: unknown } {
  if (typeof error !== 'object' || error === null) return {}
  const { status, code, reason } = error as Record<string, unknown>
  return { status, code, reason }
}

export function bearer(token: string): { headers: object; rawHeaders: string[] } {
  return {
    headers: { authorization: `Bearer ${token}` },
    rawHeaders: ['Authorization', `Bearer ${token}`],
  }
}

/** Runs handlers on a bare request, without a server, the way Express does: in order, until one fails. */
export async function run(
  handlers: RequestHandler | readonly RequestHandler[],
  req: object = { headers: {}, rawHeaders: [] },
  res: object = {},
): Promise<Outcome> {
  const headers: Record<string, string> = {}
  const response = Object.assign(
    {
      setHeader: (name: string, value: string) => {
        headers[name] = value
      },
      once: () => undefined,
    },
    res,
  )
  let error: unknown
  for (const handler of [handlers].flat()) {
    error = await new Promise((resolve) => {
      void handler(req as Request, response as unknown as Response, resolve)
    })
    if (error !== undefined) break
  }
  return { error, auth: (req as { auth?: Auth }).auth, headers, req }
}

export interface Guarded {
  readonly guard: AuthHandler
  readonly clock: FakeClock
  readonly signer: Signer
  readonly events: GuardEvent[]
  /** Addresses that were asked. */
  readonly fetched: string[]
  /** A token of the signer, good now. */
  token(changes?: object, header?: object): string
  ask(token: string): Promise<Outcome>
}

export interface GuardedSetup {
  readonly signer?: Signer
  readonly clock?: FakeClock
  readonly fetch?: Fetch
}

/** A guard on a fake clock that holds its keys, unless the options say where else they are. */
export function makeGuarded(
  options: Partial<RequireAuthOptions> = {},
  { signer = makeSigner('ES256'), clock = new FakeClock(), fetch }: GuardedSetup = {},
): Guarded {
  const events: GuardEvent[] = []
  const fetched: string[] = []
  const guard = createGuard(
    readSettings({
      issuer,
      audience,
      ...(options.jwksUri === undefined && !Array.isArray(options.issuer)
        ? { jwks: { keys: [signer.publicJwk] } }
        : {}),
      onEvent: (event) => events.push(event),
      ...options,
    }),
    {
      clock,
      fetch: async (url, init) => {
        fetched.push(url)
        if (!fetch) throw new Error('no network here')
        return fetch(url, init)
      },
    },
  )
  return {
    guard,
    clock,
    signer,
    events,
    fetched,
    token: (changes, header) => signer.sign(claimsAt(clock.seconds, changes), header),
    ask: async (token) => run(guard, bearer(token)),
  }
}

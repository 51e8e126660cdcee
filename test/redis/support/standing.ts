import { expect } from '@jest/globals'
import type { RedisRevocationsOptions } from '../../../src/redis/index.ts'
import { redisRevocations } from '../../../src/redis/index.ts'
import { isUnavailableError } from '../../../src/errors.ts'
import type { RevocationsEvent } from '../../../src/events.ts'
import type { AuditedRevocations } from '../../../src/revocation/revocations.ts'
import { waitUntil } from '../../support/wait.ts'
import { claimsOf, type Cleanup, issuer } from './deployment.ts'

/** What a guard would answer about a token, and how long that took. */
export interface Standing {
  readonly status: 200 | 401 | 503
  readonly ms: number
  readonly error: Error | undefined
}

/** One resource server, as far as its revocations go. */
export interface Node {
  readonly revocations: AuditedRevocations
  readonly events: RevocationsEvent[]
  /** What a request with a token of this user gets. */
  ask(sub: string): Promise<Standing>
  kickOut(subject: string): Promise<unknown>
}

export function startNode(
  { closing, template }: Cleanup,
  address: { host: string; port: number },
  options: RedisRevocationsOptions = {},
): Node {
  const events: RevocationsEvent[] = []
  const revocations = closing(
    redisRevocations(template(address), {
      issuer,
      maxStalenessMs: 1_000,
      onEvent: (event) => events.push(event),
      ...options,
    }),
  )
  return {
    revocations,
    events,
    async ask(sub) {
      const startedAt = performance.now()
      try {
        const { revoked } = await revocations.check(claimsOf({ sub }))
        return { status: revoked ? 401 : 200, ms: performance.now() - startedAt, error: undefined }
      } catch (error) {
        if (!isUnavailableError(error)) throw error
        return { status: 503, ms: performance.now() - startedAt, error }
      }
    },
    kickOut: async (subject) => revocations.kickOut({ subject }, { confirmTimeoutMs: 0 }),
  }
}

export async function startReadyNode(...args: Parameters<typeof startNode>): Promise<Node> {
  const node = startNode(...args)
  await node.revocations.ready()
  return node
}

export async function untilState(
  { revocations }: Node,
  state: string,
  timeoutMs = 3_000,
): Promise<void> {
  await waitUntil(() => revocations.status().state === state, {
    what: `the state ${state}`,
    timeoutMs,
  })
}

/** Resolves when a proof was made after this call. */
export async function untilProvedAgain({ revocations }: Node, timeoutMs = 3_000): Promise<void> {
  const startedAt = performance.now()
  await waitUntil(() => revocations.status().stalenessMs < performance.now() - startedAt, {
    what: 'a new proof',
    timeoutMs,
  })
}

/** A failure of ours is a 503 with Retry-After, and quick. */
export function expectUnavailable(standing: Standing, withinMs = 250): void {
  expect(standing.status).toBe(503)
  expect(standing.error).toMatchObject({
    code: 'temporarily_unavailable',
    headers: { 'Retry-After': expect.stringMatching(/^\d+$/) },
  })
  // The machine that runs the tests is not idle.
  expect(standing.ms).toBeLessThan(withinMs)
}

/** A write that is not known to have happened says so, in time. */
export async function expectNotConfirmed(write: Promise<unknown>, withinMs = 1_500): Promise<void> {
  const startedAt = performance.now()
  await expect(write).rejects.toMatchObject({
    status: 503,
    message: expect.stringContaining('not confirmed, safe to repeat'),
  })
  expect(performance.now() - startedAt).toBeLessThan(withinMs)
}

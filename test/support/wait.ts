import { setTimeout as sleep } from 'node:timers/promises'

export interface WaitOptions {
  /** What is awaited, as it reads after "still waiting for". */
  readonly what: string
  /** Milliseconds until giving up. @defaultValue 5000 */
  readonly timeoutMs?: number
  /** Milliseconds between two looks. @defaultValue 10 */
  readonly everyMs?: number
}

type NoAnswer = false | null | undefined

/**
 * Looks until `predicate` answers something (not `false`, `null` or `undefined`) and returns that
 * answer. A predicate that throws has not answered yet; its last error becomes the `cause` when
 * time is up.
 * @throws Error when `timeoutMs` have passed, also while a look is hanging.
 */
export async function waitUntil<T>(
  predicate: () => T | NoAnswer | Promise<T | NoAnswer>,
  { what, timeoutMs = 5000, everyMs = 10 }: WaitOptions,
): Promise<T> {
  const startedAt = performance.now()
  const timer = new AbortController()
  let lastError: unknown
  const look = async () => {
    while (!timer.signal.aborted) {
      try {
        const answer = await predicate()
        if (isAnswer(answer)) return answer
        lastError = undefined
      } catch (error) {
        lastError = error
      }
      await sleep(everyMs)
    }
    return undefined
  }
  const giveUp = sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined)
  const answer = await Promise.race([look(), giveUp])
  timer.abort()
  if (isAnswer(answer)) return answer
  const waited = Math.round(performance.now() - startedAt)
  throw new Error(`still waiting for ${what} after ${waited} ms`, { cause: lastError })
}

function isAnswer<T>(value: T | NoAnswer): value is T {
  return value !== false && value !== null && value !== undefined
}

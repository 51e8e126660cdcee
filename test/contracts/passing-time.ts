import { waitUntil } from '../support/wait.ts'

/** How an implementation under test gets older: at a word, or by waiting. */
export interface PassingTime {
  /** Moves the fake clock; an implementation on real time has none. */
  advance?(ms: number): void
}

/** Lets at least that much time pass. */
export async function elapse(under: PassingTime, ms: number): Promise<void> {
  if (under.advance) {
    under.advance(ms)
    return
  }
  const startedAt = performance.now()
  await waitUntil(() => performance.now() - startedAt > ms, {
    what: `${ms} ms to pass`,
    timeoutMs: ms + 5_000,
    everyMs: 2,
  })
}

/** Ids that break careless keys: hash tags, separators, globs, prototypes, bytes. All are different. */
export const hostileIds: readonly string[] = [
  '}x',
  '{}',
  '{',
  '}',
  '{a}b',
  'a:b',
  'a',
  'b:c',
  ':',
  '*',
  'u?',
  '[a-z]*',
  'a\0b',
  'a\r\nb',
  '\r\nDEL x',
  ' ',
  'x'.repeat(255),
  'x'.repeat(254),
  '🙂',
  '🙂🙂',
  'é',
  'e\u0301',
  '__proto__',
  'constructor',
  'toString',
  '1',
  '01',
  '1e3',
  '1000',
  'A',
  '"]',
  "'; return 1 --",
]

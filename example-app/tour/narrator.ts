import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

const isPlain = !process.stdout.isTTY || process.env.NO_COLOR !== undefined

function paint(style: Style, text: string): string {
  return isPlain ? text : styleText(style, text)
}

/** Digits that matter: 0.8 ms, 12 ms, 1.4 s. */
export function duration(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}

export function headline(text: string): void {
  console.log(`\n${paint('bold', text)}\n`)
}

/** One step of the story: runs it, and tells how long it took and what it came to. A wrong outcome ends the tour. */
export async function step(title: string, work: () => Promise<string>): Promise<void> {
  const startedAt = performance.now()
  try {
    const outcome = await work()
    const took = duration(performance.now() - startedAt)
    console.log(`${paint('green', '✓')} ${title.padEnd(66)} ${took.padStart(7)}`)
    console.log(paint('dim', `    ${outcome}`))
  } catch (error) {
    console.log(`${paint('red', '✗')} ${paint('bold', title)}`)
    throw error
  }
}

/** @throws Error that says what was expected and what came */
export function expectEqual(what: string, actual: unknown, expected: unknown): void {
  if (actual === expected) return
  throw new Error(`${what}: expected ${String(expected)}, got ${String(actual)}`)
}

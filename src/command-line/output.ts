/** Control characters, and those that turn the direction of text: an id from outside must not rule the terminal. */
// eslint-disable-next-line no-control-regex
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** Text from outside, as a terminal may be given it. */
function printable(text: string): string {
  return text.replace(
    unprintable,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** A moment, milliseconds since the epoch, to the second in UTC. */
export function momentText(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15
    ? new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
    : '?'
}

/** A duration in the largest unit that keeps it readable. */
export function durationText(ms: number): string {
  const size = Math.abs(ms)
  if (size < 1000) return `${Math.round(ms)} ms`
  if (size < 120_000) return `${(ms / 1000).toFixed(1)} s`
  if (size < 7_200_000) return `${Math.round(ms / 60_000)} min`
  if (size < 172_800_000) return `${Math.round(ms / 3_600_000)} h`
  return `${Math.round(ms / 86_400_000)} days`
}

/** A count with its noun. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

interface Stream {
  write(text: string): unknown
  readonly isTTY?: boolean
}

/**
 * What a command prints. Results go to standard output: as lines for people, or as one JSON value where `--json` was given.
 * Everything else, progress and warnings, goes to standard error.
 */
export class Output {
  readonly isJson: boolean
  readonly #out: Stream
  readonly #err: Stream
  #hasProgress = false
  #hasResult = false

  constructor(isJson: boolean, out: Stream, err: Stream) {
    this.isJson = isJson
    this.#out = out
    this.#err = err
  }

  /** Whether a person looks at standard output. */
  get isTerminal(): boolean {
    return this.#out.isTTY === true
  }

  /** A line for people. */
  line(text = ''): void {
    if (this.isJson) return
    this.#endProgress()
    this.#out.write(`${printable(text)}\n`)
  }

  /** A table for people: columns as wide as their widest cell. */
  table(rows: readonly (readonly string[])[]): void {
    const cells = rows.map((row) => row.map(printable))
    const widths = (cells[0] ?? []).map((_, column) =>
      Math.max(...cells.map((row) => row[column]?.length ?? 0)),
    )
    for (const row of cells) {
      const padded = row.map((cell, column) =>
        column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0),
      )
      this.line(padded.join('  '))
    }
  }

  /** The result for scripts: the first one counts, so that there is one JSON value whatever happens afterwards. */
  json(value: unknown): void {
    if (!this.isJson || this.#hasResult) return
    this.#hasResult = true
    this.#out.write(`${JSON.stringify(value)}\n`)
  }

  /** Writes a result such as a key or a schema as it is, in JSON mode too. */
  raw(text: string): void {
    this.#out.write(text)
  }

  /** A warning or an error, on standard error. */
  note(text: string): void {
    this.#endProgress()
    const lines = text.trimEnd().split('\n').map(printable)
    this.#err.write(`express-kickout: ${lines.join('\n')}\n`)
  }

  /** Why the command ends early: on standard error, and with `--json` as the result too. */
  failure(message: string, exitCode: number): void {
    this.note(message)
    this.json({ error: message, exit_code: exitCode })
  }

  /** What the command waits for: one line that is written over on a terminal, lines elsewhere. */
  progress(text: string): void {
    if (this.isJson) return
    if (this.#err.isTTY === true) {
      this.#err.write(`\r\u001b[K${printable(text)}`)
      this.#hasProgress = true
    } else {
      this.#err.write(`${printable(text)}\n`)
    }
  }

  #endProgress(): void {
    if (!this.#hasProgress) return
    this.#hasProgress = false
    this.#err.write('\r\u001b[K')
  }
}

/** How much of a drill is run. */
export interface Effort {
  /** Small numbers, for a look whether the drill itself works. */
  readonly quick: boolean
  /** The numbers that take long, such as a pause of ten minutes. */
  readonly full: boolean
  /** How often a drill with rounds repeats, where the command line says so. */
  readonly rounds: number | undefined
}

/** One figure beside its bar. */
export interface Figure {
  readonly what: string
  readonly value: number
  /** `undefined`: for information only. */
  readonly atMost?: number | undefined
  readonly atLeast?: number | undefined
  readonly unit?: string
}

export interface Drill {
  readonly name: string
  /** One line: what is broken, and what has to hold. */
  readonly story: string
  run(effort: Effort): Promise<Figure[]>
}

/** Picks the number for an effort. */
export function pick<Value>(
  { quick, full }: Effort,
  values: { quick: Value; usual: Value; full?: Value },
): Value {
  if (quick) return values.quick
  return full ? (values.full ?? values.usual) : values.usual
}

export function isMet({ value, atMost, atLeast }: Figure): boolean {
  if (Number.isNaN(value)) return atMost === undefined && atLeast === undefined
  return (atMost === undefined || value <= atMost) && (atLeast === undefined || value >= atLeast)
}

/** A figure that must be zero. */
export function none(what: string, value: number): Figure {
  return { what, value, atMost: 0 }
}

export function toLine(drill: string, figure: Figure): string {
  const { what, value, atMost, atLeast, unit = '' } = figure
  const bar =
    atMost === undefined && atLeast === undefined
      ? 'for information'
      : [
          atLeast !== undefined && `at least ${atLeast}`,
          atMost !== undefined && `at most ${atMost}`,
        ]
          .filter(Boolean)
          .join(', ')
  const mark = isMet(figure) ? 'ok  ' : 'MISS'
  const shown = Number.isInteger(value) ? String(value) : value.toFixed(2)
  return `${mark} ${drill.padEnd(14)} ${what.padEnd(62)} ${`${shown} ${unit}`.trim().padStart(12)}   (${bar})`
}

import { readChoice, readNumber, readOptions } from '../../options.ts'

const where = 'createIssuer'

export interface SessionOptions {
  /**
   * A session that is not refreshed for this long ends. Seconds.
   *
   * @defaultValue 604800
   */
  idleTtlSeconds?: number
  /**
   * A session ends after this long whatever happens. Seconds.
   *
   * @defaultValue 2592000
   */
  absoluteTtlSeconds?: number
  /**
   * How long the refresh token before the current one still gets the current one (two tabs, a lost answer). Milliseconds,
   * 0 to 60000.
   *
   * @defaultValue 10000
   */
  reuseGraceMs?: number
  /** The most sessions that a user may have at a time. Unlimited unless given. */
  maxPerSubject?: number
  /**
   * What to do about one session too many.
   *
   * @defaultValue 'end-oldest'
   */
  whenFull?: 'end-oldest' | 'refuse'
}

/** The default of every option that has one. */
export const sessionDefaults = {
  idleTtlSeconds: 604_800,
  absoluteTtlSeconds: 2_592_000,
  reuseGraceMs: 10_000,
  whenFull: 'end-oldest',
} as const

const optionNames = [
  'idleTtlSeconds',
  'absoluteTtlSeconds',
  'reuseGraceMs',
  'maxPerSubject',
  'whenFull',
] as const satisfies readonly (keyof SessionOptions)[]

/** Checked options of sessions, in the stores' unit. */
export interface SessionSettings {
  readonly idleTtlMs: number
  readonly absoluteTtlMs: number
  readonly reuseGraceMs: number
  readonly maxPerSubject: number | undefined
  readonly whenFull: 'end-oldest' | 'refuse'
}

/** @throws TypeError for wrong or unknown options */
export function readSessionOptions(value: unknown): SessionSettings {
  const session = readOptions(`${where}: session`, value ?? {}, optionNames)
  const defaults = sessionDefaults
  const read = (name: 'idleTtlSeconds' | 'absoluteTtlSeconds'): number =>
    readNumber(where, `session.${name}`, session[name], { fallback: defaults[name], min: 1 }) * 1000
  return {
    idleTtlMs: read('idleTtlSeconds'),
    absoluteTtlMs: read('absoluteTtlSeconds'),
    reuseGraceMs: readNumber(where, 'session.reuseGraceMs', session['reuseGraceMs'], {
      fallback: defaults.reuseGraceMs,
      min: 0,
      max: 60_000,
    }),
    maxPerSubject:
      session['maxPerSubject'] === undefined
        ? undefined
        : readNumber(where, 'session.maxPerSubject', session['maxPerSubject'], {
            fallback: 1,
            min: 1,
            integer: true,
          }),
    whenFull: readChoice(
      where,
      'session.whenFull',
      session['whenFull'],
      ['end-oldest', 'refuse'],
      defaults.whenFull,
    ),
  }
}

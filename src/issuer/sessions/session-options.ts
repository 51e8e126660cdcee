import { readChoice, readNumber, readOptions } from '../../options.ts'

const where = 'createIssuer'

/** How long sessions live, and how refresh tokens are judged. */
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
  /**
   * For so long after the grace the refresh token before the current one is still answered with its successor: only once,
   * and only while that successor was never presented. For mobile apps that lose answers and sleep; a thief gains the same
   * time, so it is off by default. Seconds, 0 to 86400.
   *
   * @defaultValue 0
   */
  lostAnswerSeconds?: number
  /** The most sessions that a user may have at a time. Unlimited unless given. */
  maxPerSubject?: number
  /**
   * What to do about one session too many.
   *
   * @defaultValue 'end-oldest'
   */
  whenFull?: 'end-oldest' | 'refuse'
}

/** The longest time for a lost answer; a session that is bound to a key always has it. */
export const maxLostAnswerSeconds = 86_400

/** The default of every option that has one. */
export const sessionDefaults = {
  idleTtlSeconds: 604_800,
  absoluteTtlSeconds: 2_592_000,
  reuseGraceMs: 10_000,
  lostAnswerSeconds: 0,
  whenFull: 'end-oldest',
} as const

const optionNames = [
  'idleTtlSeconds',
  'absoluteTtlSeconds',
  'reuseGraceMs',
  'lostAnswerSeconds',
  'maxPerSubject',
  'whenFull',
] as const satisfies readonly (keyof SessionOptions)[]

/** Checked options of sessions, in the stores' unit. */
export interface SessionSettings {
  readonly idleTtlMs: number
  readonly absoluteTtlMs: number
  readonly reuseGraceMs: number
  readonly lostAnswerMs: number
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
    lostAnswerMs:
      readNumber(where, 'session.lostAnswerSeconds', session['lostAnswerSeconds'], {
        fallback: defaults.lostAnswerSeconds,
        min: 0,
        max: maxLostAnswerSeconds,
      }) * 1000,
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

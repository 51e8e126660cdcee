/**
 * Checks of user options. A wrong option is a `TypeError` at creation that says which option, what was expected, and
 * what to do; the value itself is never printed, since it may be a secret.
 */

const maxSuggestionDistance = 3

/** Levenshtein distance, for "did you mean". */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, substitution))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}

function nearest(name: string, known: readonly string[]): string | undefined {
  const asked = name.toLowerCase()
  const ranked = known
    .map((candidate) => ({ candidate, distance: distance(asked, candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0]
  const limit = Math.max(maxSuggestionDistance, Math.floor(name.length / 3))
  if (ranked && ranked.distance <= limit) return ranked.candidate
  // Most often the unit is what is missing: `clockTolerance` for `clockToleranceSeconds`.
  return known.find((candidate) => {
    const [short = '', long = ''] = [asked, candidate.toLowerCase()].sort(
      (a, b) => a.length - b.length,
    )
    return short.length > 2 && long.startsWith(short)
  })
}

/** Makes the `TypeError` of a wrong option. */
export function optionError(where: string, option: string, expectation: string): TypeError {
  return new TypeError(`${where}: option "${option}" ${expectation}`)
}

/** What the value is, without the value. */
function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/**
 * Asserts that `options` is a bag of known names.
 *
 * @throws TypeError that names the unknown option and the nearest known one
 */
export function assertOptions(where: string, options: unknown, known: readonly string[]): void {
  readOptions(where, options, known)
}

/** {@link assertOptions} for a value of unknown type. */
export function readOptions(
  where: string,
  options: unknown,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`${where}: the options must be an object, got ${kindOf(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    const suggestion = nearest(name, known)
    throw new TypeError(
      `${where}: unknown option "${name}"` +
        (suggestion ? `, did you mean "${suggestion}"?` : `; known are ${known.join(', ')}`),
    )
  }
  return options as Readonly<Record<string, unknown>>
}

interface NumberRange {
  readonly fallback: number
  readonly min: number
  readonly max?: number
  readonly integer?: boolean
}

/** Reads a finite number within a range, or the fallback when absent. */
export function readNumber(
  where: string,
  option: string,
  value: unknown,
  range: NumberRange,
): number {
  if (value === undefined) return range.fallback
  const max = range.max ?? Number.MAX_SAFE_INTEGER
  const fits =
    typeof value === 'number' &&
    Number.isFinite(value) &&
    value >= range.min &&
    value <= max &&
    (!range.integer || Number.isInteger(value))
  if (!fits) {
    const upper = range.max === undefined ? `at least ${range.min}` : `${range.min} to ${range.max}`
    throw optionError(
      where,
      option,
      `must be ${range.integer ? 'a whole' : 'a'} number, ${upper}; got ${typeof value === 'number' ? String(value) : kindOf(value)}`,
    )
  }
  return value
}

/** Reads a non-empty string, or `undefined` when absent. */
export function readString(where: string, option: string, value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value === '') {
    throw optionError(
      where,
      option,
      `must be a non-empty string; got ${value === '' ? 'an empty one' : kindOf(value)}`,
    )
  }
  return value
}

/** Reads a non-empty string or a non-empty list of them as a list, or `undefined` when absent. */
export function readStrings(
  where: string,
  option: string,
  value: unknown,
): readonly string[] | undefined {
  if (value === undefined) return undefined
  const list: unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0) throw optionError(where, option, 'must not be an empty list')
  return Object.freeze(list.map((member) => readString(where, option, member) ?? missing()))

  function missing(): never {
    throw optionError(where, option, 'must be a non-empty string or a list of them; got undefined')
  }
}

/** Reads one of a few words, or the fallback when absent. */
export function readChoice<Choice extends string>(
  where: string,
  option: string,
  value: unknown,
  choices: readonly Choice[],
  fallback: Choice,
): Choice {
  if (value === undefined) return fallback
  const choice = choices.find((candidate) => candidate === value)
  if (choice === undefined) {
    throw optionError(
      where,
      option,
      `must be one of ${choices.map((word) => `'${word}'`).join(', ')}`,
    )
  }
  return choice
}

/** Reads `true` or `false`, or the fallback when absent. */
export function readBoolean(
  where: string,
  option: string,
  value: unknown,
  fallback: boolean,
): boolean {
  if (value === undefined) return fallback
  if (typeof value !== 'boolean') {
    throw optionError(where, option, `must be true or false; got ${kindOf(value)}`)
  }
  return value
}

/** Asserts a function, or returns `undefined` when absent. */
export function readFunction<Fn>(
  where: string,
  option: string,
  value: Fn | undefined,
): Fn | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'function') {
    throw optionError(where, option, `must be a function; got ${kindOf(value)}`)
  }
  return value
}

const loopback = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i

/** Whether a host name, as a `URL` has it, means this machine. */
export function isLoopbackHost(hostname: string): boolean {
  return loopback.test(hostname)
}

/**
 * Whether a URL may be trusted to fetch from or to name an issuer: `https:`, or `http:` on a loopback host.
 *
 * @param allowsHttp - `http:` on any host, where the application said so
 */
export function isSecureUrl(url: URL, allowsHttp = false): boolean {
  const isPlain = url.protocol === 'http:' && (allowsHttp || loopback.test(url.hostname))
  return url.protocol === 'https:' || isPlain
}

/**
 * Whether a text is an origin as browsers send it. Web views and extensions have schemes of their own
 * (`tauri://localhost`, `capacitor://localhost`, `chrome-extension://…`), for which `URL` knows no origin.
 */
export function isOrigin(text: string): boolean {
  if (text.includes('*')) return false
  if (/^https?:/.test(text)) return URL.canParse(text) && new URL(text).origin === text
  return /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(?::\d{1,5})?$/.test(text) && !text.startsWith('file:')
}

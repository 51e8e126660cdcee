import { parseArgs } from 'node:util'
import { readOptions } from '../options.ts'
import { usageError } from './failure.ts'

interface OptionDefinition {
  readonly type: 'string' | 'boolean'
  /** How its value is called in the help. */
  readonly value?: string
  readonly meaning: string
}

/** Every option that a command may take. One name means one thing, whatever the command. */
export const options = {
  json: { type: 'boolean', meaning: 'print one JSON value for scripts' },
  help: { type: 'boolean', meaning: 'print how a command is used' },
  version: { type: 'boolean', meaning: 'print the version of the package' },
  redis: { type: 'string', value: 'URL', meaning: 'Redis, instead of KICKOUT_REDIS_URL' },
  postgres: {
    type: 'string',
    value: 'URL',
    meaning: 'PostgreSQL, instead of KICKOUT_POSTGRES_URL',
  },
  prefix: { type: 'string', value: 'NAME', meaning: 'Redis: the option "prefix" of your servers' },
  partitions: {
    type: 'string',
    value: 'NUMBER',
    meaning: 'Redis: the option "partitions" of your servers; read from Redis unless given',
  },
  schema: { type: 'string', value: 'NAME', meaning: 'PostgreSQL: the schema of the tables' },
  issuer: {
    type: 'string',
    value: 'URL',
    meaning: 'exactly the "iss" of the tokens, instead of ISSUER_BASE_URL',
  },
  subject: { type: 'string', value: 'ID', meaning: 'the user, the "sub" of the tokens' },
  session: { type: 'string', value: 'ID', meaning: 'the session, the "sid" of the tokens' },
  jti: { type: 'string', value: 'ID', meaning: 'one token, by its "jti"' },
  client: { type: 'string', value: 'ID', meaning: 'the client, the "client_id" of the tokens' },
  everyone: { type: 'boolean', meaning: 'every token of the issuer; needs --yes' },
  yes: { type: 'boolean', meaning: 'confirms --everyone' },
  reason: { type: 'string', value: 'TEXT', meaning: 'kept in the history, shown to no client' },
  by: {
    type: 'string',
    value: 'NAME',
    meaning: 'who does it, for the history (the name of your account), or whose are listed',
  },
  timeout: {
    type: 'string',
    value: 'SECONDS',
    meaning: 'how long to wait for the servers, as in 5 or 500ms; at most 600 seconds',
  },
  'min-replicas': {
    type: 'string',
    value: 'NUMBER',
    meaning: 'Redis: how many replicas must have the kick-out, as the option "minReplicas"',
  },
  limit: { type: 'string', value: 'NUMBER', meaning: 'how many are listed, 1 to 1000' },
  before: { type: 'string', value: 'ID', meaning: '"next" of the page before' },
  level: {
    type: 'string',
    value: 'LEVEL',
    meaning: 'only of one level: token, session, subject, client or everyone',
  },
  target: { type: 'string', value: 'ID', meaning: 'only of one target' },
  audience: { type: 'string', value: 'NAME', meaning: 'the guard\'s "audience"' },
  'jwks-uri': { type: 'string', value: 'URL', meaning: 'the guard\'s "jwksUri"' },
  alg: { type: 'string', value: 'NAME', meaning: 'the algorithm of the key' },
  'publish-ahead': {
    type: 'string',
    value: 'SECONDS',
    meaning: 'how long the key is published before it signs (1200, as the key store has it)',
  },
  out: { type: 'string', value: 'FILE', meaning: 'a new file that only you may read' },
  print: { type: 'boolean', meaning: 'print the SQL instead of running it' },
} as const satisfies Record<string, OptionDefinition>

export type OptionName = keyof typeof options

/** Options as given: texts, and `true` for those without a value. */
export type Given = Partial<Record<OptionName, string | true>>

export interface ParsedArguments {
  /** The words of the command, such as `['postgres', 'migrate']`. */
  readonly words: readonly string[]
  readonly given: Given
}

/** Texts of an option that was given twice would differ, and one of them would be lost without a word. */
function assertGivenOnce(tokens: readonly { readonly kind: string; readonly name?: string }[]) {
  const seen = new Set<string>()
  for (const { kind, name } of tokens) {
    if (kind !== 'option' || name === undefined) continue
    if (seen.has(name)) throw usageError(`--${name} is given twice`)
    seen.add(name)
  }
}

/**
 * Reads arguments. No message quotes what was given as a value or as a word: either may be a secret that was pasted.
 *
 * @throws CommandFailure `usage`
 */
export function parseArguments(args: readonly string[]): ParsedArguments {
  const config = {
    args: [...args],
    options: {
      ...Object.fromEntries(Object.entries(options).map(([name, { type }]) => [name, { type }])),
      help: { type: 'boolean', short: 'h' },
    },
    allowPositionals: true,
    tokens: true,
  } as const
  const loose = parseArgs({ ...config, strict: false })
  assertGivenOnce(loose.tokens)
  const named = loose.tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []))
  assertKnown(named, Object.keys(options))
  for (const token of loose.tokens) {
    if (token.kind !== 'option') continue
    const { type } = options[token.name as OptionName]
    if (type === 'boolean' && token.value !== undefined)
      throw usageError(`--${token.name} takes no value`)
    const isNextOption = token.inlineValue === false && /^-./.test(token.value)
    if (type === 'string' && (token.value === undefined || token.value === '' || isNextOption))
      throw usageError(
        `--${token.name} needs a value; one that begins with a dash is written --${token.name}=-…`,
      )
  }
  return { words: loose.positionals, given: loose.values as Given }
}

/** @throws CommandFailure that names the first unknown option and the nearest known one */
export function assertKnown(names: readonly string[], known: readonly string[]): void {
  const dashed = (list: readonly string[]) => list.map((name) => `--${name}`)
  for (const name of names) {
    if (known.includes(name)) continue
    try {
      readOptions('', { [name]: true }, known)
    } catch (error) {
      const nearest = /did you mean "(.*)"/.exec((error as Error).message)?.[1]
      throw usageError(
        nearest === undefined
          ? `unknown option --${name}; known are ${dashed(known).join(', ')}`
          : `unknown option --${name}, did you mean --${nearest}?`,
      )
    }
  }
}

/** The text of an option, `undefined` where it was not given. */
export function textOf(given: Given, name: OptionName): string | undefined {
  const value = given[name]
  return typeof value === 'string' ? value : undefined
}

/** @throws CommandFailure unless it is a whole number within the range */
export function wholeNumberOf(
  given: Given,
  name: OptionName,
  { min, max }: { min: number; max: number },
): number | undefined {
  const text = textOf(given, name)
  if (text === undefined) return undefined
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (number >= min && number <= max) return number
  throw usageError(`--${name} must be a whole number, ${min} to ${max}`)
}

const maxTimeoutMs = 600_000

/**
 * Reads a duration: seconds, or with a unit, as in `5`, `1.5s` and `500ms`.
 *
 * @throws CommandFailure for anything else, and for more than ten minutes
 */
export function millisecondsOf(given: Given, name: OptionName): number | undefined {
  const text = textOf(given, name)
  if (text === undefined) return undefined
  const [, number, unit] = /^(\d{1,7}(?:\.\d{1,3})?)(ms|s)?$/.exec(text) ?? []
  const ms = number === undefined ? Number.NaN : Number(number) * (unit === 'ms' ? 1 : 1000)
  if (ms <= maxTimeoutMs) return ms
  throw usageError(
    `--${name} must be a number of seconds, at most ${maxTimeoutMs / 1000}; milliseconds are written with their unit, as in 500ms`,
  )
}

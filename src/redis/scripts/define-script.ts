import type { RedisClient } from '../options.ts'

/**
 * One Lua script: the names of what it is given, its text, and how its reply is read. Bodies use the names; the locals are
 * written by {@link defineScript}.
 */
export interface ScriptDefinition<Key extends string, Argument extends string, Reply> {
  readonly name: string
  /** Part of the command's name, so that two versions of the package can share a client. */
  readonly version: number
  readonly keys: readonly Key[]
  readonly arguments: readonly Argument[]
  /** For scripts that write little or nothing, and without which a full Redis would take every server down. */
  readonly isAllowedWhenFull?: true
  /** Functions that several scripts share. */
  readonly prelude?: string
  readonly lua: string
  readonly parse: (reply: unknown) => Reply
}

export type Script<Key extends string, Argument extends string, Reply> = (
  client: RedisClient,
  keys: Readonly<Record<Key, string>>,
  parameters: Readonly<Record<Argument, string | number>>,
) => Promise<Reply>

type Command = (...args: (string | number)[]) => Promise<unknown>

const defined = new WeakMap<RedisClient, Set<string>>()

function commandOn(client: RedisClient, name: string, lua: string, numberOfKeys: number): Command {
  let names = defined.get(client)
  if (!names) {
    names = new Set()
    defined.set(client, names)
  }
  if (!names.has(name)) {
    client.defineCommand(name, { lua, numberOfKeys })
    names.add(name)
  }
  return (client as unknown as Record<string, Command>)[name]?.bind(client) as Command
}

function localsOf(names: readonly string[], table: 'KEYS' | 'ARGV'): string {
  return names.map((name, index) => `local ${name} = ${table}[${index + 1}]\n`).join('')
}

/**
 * Makes a script callable. ioredis sends its hash and falls back to its text, once per connection.
 *
 * The first line has Redis treat it as one that writes, even where it only reads: then a primary that was demoted, or that
 * has lost its replicas under `min-replicas-to-write`, refuses it instead of answering from what may be old state.
 */
export function defineScript<Key extends string, Argument extends string, Reply>(
  definition: ScriptDefinition<Key, Argument, Reply>,
): Script<Key, Argument, Reply> {
  const { name, version, keys, prelude = '', parse } = definition
  const lua =
    `#!lua${definition.isAllowedWhenFull ? ' flags=allow-oom' : ''}\n` +
    localsOf(keys, 'KEYS') +
    localsOf(definition.arguments, 'ARGV') +
    prelude +
    definition.lua
  const commandName = `kickout:${name}:${version}`
  return async (client, keyNames, parameters) => {
    const run = commandOn(client, commandName, lua, keys.length)
    const values = definition.arguments.map((argument) => parameters[argument])
    return parse(await run(...keys.map((key) => keyNames[key]), ...values))
  }
}

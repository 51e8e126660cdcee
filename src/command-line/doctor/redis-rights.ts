import type { Keys } from '../../redis/keys.ts'
import { answer } from '../redis-client.ts'
import type { RedisClient } from '../../redis/index.ts'

/** What the user of the connection may not do, command by command. */
export interface RedisRights {
  readonly user: string
  /** Commands that a resource server sends and this user may not. */
  readonly missingForServers: readonly string[]
  /** Commands that kick-outs and sessions need and this user may not send. */
  readonly missingForIssuers: readonly string[]
  /** Why the rights could not be looked at. */
  readonly failure: string | undefined
  /** `true` where a client that reaches the address needs no password. */
  readonly isOpen: boolean
}

/** The commands with their keys, so that patterns of keys are judged as well as names of commands. */
function commandsFor(keys: Keys): { servers: string[][]; issuers: string[][] } {
  const [meta, stream, servers] = [keys.meta(0), keys.stream(0), keys.servers(0)]
  const deny = keys.deny('everyone', 'x', '')
  const base = keys.base(0)
  const [user, session] = [`${base}user:x`, `${base}session:x`]
  const sessions = `${base}user-sessions:x`
  return {
    servers: [
      ['INFO'],
      ['PING'],
      ['TIME'],
      ['EVAL', 'return 1', '1', servers],
      ['EVALSHA', 'x', '1', servers],
      ['HMGET', meta, 'epoch'],
      ['XREAD', 'STREAMS', stream, '0'],
      ['XRANGE', stream, '-', '+'],
      ['XREVRANGE', stream, '+', '-'],
      ['XLEN', stream],
      ['HGET', servers, 'x'],
      ['HGETALL', servers],
      ['HSET', servers, 'x', 'x'],
      ['HDEL', servers, 'x'],
      ['GET', deny],
    ],
    issuers: [
      ['WAIT', '0', '0'],
      ['HSET', meta, 'x', 'x'],
      ['HSETNX', meta, 'x', 'x'],
      ['HINCRBY', meta, 'x', '1'],
      ['XADD', stream, '*', 'x', 'x'],
      ['MGET', deny],
      ['SET', deny, 'x'],
      ['PTTL', deny],
      ['HSET', user, 'x', 'x'],
      ['PEXPIRE', user, '1'],
      ['HSET', session, 'x', 'x'],
      ['DEL', session],
      ['ZADD', sessions, '1', 'x'],
      ['ZRANGE', sessions, '0', '-1'],
      ['ZREVRANGE', sessions, '0', '-1'],
      ['ZREM', sessions, 'x'],
    ],
  }
}

/** Asks for each command whether this user may send it, and runs none of them. Commands that Redis lacks count as allowed. */
const lua = `#!lua flags=allow-oom,no-writes
local refused = {}
if not redis.acl_check_cmd then return { 'unknown' } end
for index, command in ipairs(cjson.decode(ARGV[1])) do
  local is_known, is_allowed = pcall(redis.acl_check_cmd, unpack(command))
  if is_known and not is_allowed then table.insert(refused, index) end
end
return refused`

async function refusedOf(client: RedisClient, commands: readonly string[][]): Promise<string[]> {
  const reply = (await answer(client.eval(lua, 0, JSON.stringify(commands)))) as unknown[]
  return reply.flatMap((index) => {
    const command = typeof index === 'number' ? commands[index - 1] : undefined
    return command ? [describe(command)] : []
  })
}

/** A command with the kind of key that it is for. */
function describe([name = '', ...args]: readonly string[]): string {
  const key = args.find((argument) => argument.includes('}:'))
  return key === undefined
    ? name
    : `${name} on ${key.slice(key.indexOf('}:') + 2).replace(/:.*/, ':*')}`
}

function credentialsOf(client: RedisClient): { username?: string; password?: string } {
  interface Credentials {
    username?: string
    password?: string
  }
  const { options } = client as { options: Credentials & { redisOptions?: Credentials } }
  return { ...options, ...options.redisOptions }
}

/** Looks at what the user of this connection may do. */
export async function readRights(client: RedisClient, keys: Keys): Promise<RedisRights> {
  const { servers, issuers } = commandsFor(keys)
  const { username, password } = credentialsOf(client)
  const common = { user: username ?? 'default', isOpen: (password ?? '') === '' }
  try {
    return {
      ...common,
      missingForServers: await refusedOf(client, servers),
      missingForIssuers: await refusedOf(client, issuers),
      failure: undefined,
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : 'unknown'
    return { ...common, missingForServers: [], missingForIssuers: [], failure: message }
  }
}

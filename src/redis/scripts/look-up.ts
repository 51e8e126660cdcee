import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

export interface LookupReply {
  /** Empty for a log that was never opened. */
  readonly epoch: string
  /** When that life of the log began, milliseconds by its clock. */
  readonly createdAt: number
  /** When lost entries were last written to the log again, milliseconds by its clock; 0 for never. */
  readonly toldAt: number
  /** The log's clock, milliseconds. */
  readonly now: number
  /** Values of the look-up keys, or `undefined`, in the order of the arguments. */
  readonly values: readonly (string | undefined)[]
}

/**
 * Looks one token up at every level that one partition can hold. See {@link defineScript} for why a primary that must not
 * write refuses it although it reads only.
 *
 * The key that it declares is `servers`, which a resource server may write; look-up keys come as arguments, so that
 * the right to read them suffices. They lie in the same slot. An argument is empty where the token has no such id.
 */
export const lookupScript = defineScript({
  name: 'lookup',
  version: 3,
  isAllowedWhenFull: true,
  keys: ['servers_key'],
  arguments: [
    'partitions',
    'retention_ms',
    'token_key',
    'session_key',
    'subject_key',
    'client_key',
    'everyone_key',
  ],
  prelude: basicPrelude,
  lua: `
local head = redis.call('HMGET', string.sub(servers_key, 1, -8) .. 'meta', 'epoch', 'told_at', 'partitions', 'created_at')
if head[3] and head[3] ~= partitions then return redis.error_reply('KICKOUTPARTITIONS ' .. head[3]) end
if tonumber(retention_ms) > tonumber(redis.call('HGET', servers_key, '#retention_ms') or '0') then
  redis.call('HSET', servers_key, '#retention_ms', retention_ms)
end
local values = {}
for index, key in ipairs({ token_key, session_key, subject_key, client_key, everyone_key }) do
  values[index] = key ~= '' and redis.call('GET', key)
end
return { head[1] or '', head[2] or '0', int(clock()), values, head[4] or '0' }
`,
  parse(reply): LookupReply {
    const [epoch, toldAt, now, values, createdAt] = reply as [
      string, string, string, (string | null)[], string,
    ] // prettier-ignore
    return {
      epoch,
      createdAt: Number(createdAt),
      toldAt: Number(toldAt),
      now: Number(now),
      values: values.map((value) => value ?? undefined),
    }
  },
})

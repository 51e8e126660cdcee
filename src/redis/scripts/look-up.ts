import { defineScript } from './define-script.ts'
import { openingPrelude } from './prelude.ts'

export interface LookupReply {
  readonly epoch: string
  /** How long ago the log was told again what it had lost, milliseconds by its clock. */
  readonly toldAgainAgoMs: number
  /** `at:version:reason`, or `undefined`, in the order of the keys. */
  readonly values: readonly (string | undefined)[]
}

/**
 * Looks one token up at every level that one partition can hold. It begins the log where there is none, so that one that
 * was lost is known to be new; see {@link defineScript} for why a primary that must not write refuses it anyway.
 *
 * Touches meta, reads the stream and the look-up keys. A token without some id passes a key that nobody writes.
 */
export const lookupScript = defineScript({
  name: 'lookup',
  version: 1,
  isAllowedWhenFull: true,
  keys: [
    'meta_key',
    'stream_key',
    'token_key',
    'session_key',
    'subject_key',
    'client_key',
    'everyone_key',
  ],
  arguments: ['new_epoch', 'partitions'],
  prelude: openingPrelude,
  lua: `
local now = clock()
local problem = open_log(new_epoch, partitions, now)
if problem then return problem end
local values = redis.call('MGET', token_key, session_key, subject_key, client_key, everyone_key)
local head = redis.call('HMGET', meta_key, 'epoch', 'told_at')
return { head[1], int(now - tonumber(head[2] or 0)), values }
`,
  parse(reply): LookupReply {
    const [epoch, toldAgainAgo, values] = reply as [string, string, (string | null)[]]
    return {
      epoch,
      toldAgainAgoMs: Number(toldAgainAgo),
      values: values.map((value) => value ?? undefined),
    }
  },
})

import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

/** One entry of the stream, as Redis gives it. */
export type StreamEntry = readonly [position: string, fields: readonly string[]]

/**
 * Reads the newest kick-outs of one partition, none that is older than the retention by the store's clock. Reads only.
 *
 * Touches the stream.
 */
export const readKickOutsScript = defineScript({
  name: 'read-kick-outs',
  version: 1,
  isAllowedWhenFull: true,
  keys: ['stream_key'],
  arguments: ['retention_ms', 'limit'],
  prelude: basicPrelude,
  lua: `
local now = clock()
local oldest = int(math.max(now - retention_ms, 0))
return { oldest, redis.call('XREVRANGE', stream_key, '+', oldest, 'COUNT', limit) }
`,
  parse(reply): { readonly oldestMs: number; readonly entries: StreamEntry[] } {
    const [oldest, entries] = reply as [string, StreamEntry[]]
    return { oldestMs: Number(oldest), entries }
  },
})

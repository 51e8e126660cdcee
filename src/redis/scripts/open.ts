import { defineScript } from './define-script.ts'
import { openingArguments, openingPrelude } from './prelude.ts'

/**
 * Opens the log of partition 0, which holds the number of partitions for all of them: a process with another number must
 * not write where the others do not read. Safe to repeat.
 *
 * `needs_entries` is for a log that lost its head alone. By the time that this arrives the entries may be lost too, and a log
 * opened then would look like one that was never written to: it stays absent until a server republishes what it holds.
 *
 * Touches meta, reads the stream and servers.
 */
export const openScript = defineScript({
  name: 'open',
  version: 3,
  keys: ['meta_key', 'stream_key'],
  arguments: [...openingArguments, 'needs_entries'],
  prelude: openingPrelude,
  lua: `
if needs_entries == '1' and redis.call('XLEN', stream_key) == 0 then return 'EMPTY' end
return open_log(new_epoch, partitions, retention_ms, clock()) or 'OK'
`,
  parse: () => undefined,
})

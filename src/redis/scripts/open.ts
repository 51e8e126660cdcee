import { defineScript } from './define-script.ts'
import { openingPrelude } from './prelude.ts'

/**
 * Opens the log of partition 0, which holds the number of partitions for all of them: a process with another number must
 * not write where the others do not read. Safe to repeat.
 *
 * Touches meta, reads the stream and servers.
 */
export const openScript = defineScript({
  name: 'open',
  version: 1,
  keys: ['meta_key', 'stream_key'],
  arguments: ['new_epoch', 'partitions', 'retention_ms'],
  prelude: openingPrelude,
  lua: `
return open_log(new_epoch, partitions, retention_ms, clock()) or 'OK'
`,
  parse: () => undefined,
})

import { defineScript } from './define-script.ts'

/**
 * Writes the record of an issuer where it still has the revision that the caller has read: of several processes that rotate
 * at once one does, and the others read again. Atomic; safe to repeat, since a repetition finds another revision.
 *
 * Touches the record.
 */
export const replaceSigningKeysScript = defineScript({
  name: 'replace-signing-keys',
  version: 1,
  keys: ['record_key'],
  arguments: ['revision', 'next_revision', 'sealed'],
  lua: `
local stored = redis.call('HGET', record_key, 'revision') or ''
if stored ~= revision then return 0 end
redis.call('HSET', record_key, 'revision', next_revision, 'sealed', sealed)
return 1
`,
  parse: (reply): boolean => reply === 1,
})

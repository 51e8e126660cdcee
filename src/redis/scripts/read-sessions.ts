import { defineScript } from './define-script.ts'
import { sessionPrelude } from './prelude.ts'
import { readSessionReply, type SessionReply } from './session-reply.ts'

/**
 * Reads one session by its id, or the live sessions of a user, the last used first. Reads only.
 *
 * Touches the session list and sessions of one user, the user's version, marks.
 */
export const readSessionsScript = defineScript({
  name: 'read-sessions',
  version: 3,
  isAllowedWhenFull: true,
  keys: ['sessions_key'],
  arguments: ['base', 'sid', 'limit'],
  prelude: sessionPrelude,
  lua: `
local now, found = clock(), {}
local sids = sid ~= '' and { sid } or redis.call('ZREVRANGE', sessions_key, 0, limit - 1)
for _, candidate in ipairs(sids) do
  local session = read_session(base .. 'session:' .. candidate)
  if session and not is_over(session) and (sid ~= '' or now < expiry_of(session)) then
    table.insert(found, reply_of(session, candidate))
  end
end
return found
`,
  parse: (reply): SessionReply[] => (reply as string[][]).map(readSessionReply),
})

import { defineScript } from './define-script.ts'
import { sessionPrelude } from './prelude.ts'
import { readSessionReply, type SessionReply } from './session-reply.ts'

export type AmendReply =
  | { readonly outcome: 'amended'; readonly now: number; readonly session: SessionReply }
  | { readonly outcome: 'ended' | 'expired' | 'changed' }

/**
 * Puts a text into a field of a session's record, where the field holds what it is expected to; empty means nothing. Atomic:
 * a kick-out comes before it, and nothing changes, or after it, and ends the session. Not safe to repeat: the second time
 * the field has changed.
 *
 * Touches the session and meta; reads its user's version and marks.
 */
export const amendSessionScript = defineScript({
  name: 'amend-session',
  version: 2,
  keys: ['session_key'],
  arguments: ['base', 'sid', 'field', 'before', 'after'],
  prelude: sessionPrelude,
  lua: `
local now, session = clock(), read_session(session_key)
if not session or is_over(session) then return { 'ended' } end
if now >= expiry_of(session) then return { 'expired' } end
if (session[field] or '') ~= before then return { 'changed' } end
session[field] = after
redis.call('HSET', session_key, field, after)
return { 'amended', int(date_token(session, now)), reply_of(session, sid) }
`,
  parse(reply): AmendReply {
    const [outcome, now, session] = reply as [AmendReply['outcome'], string, string[]]
    return outcome === 'amended'
      ? { outcome, now: Number(now), session: readSessionReply(session) }
      : { outcome }
  },
})

import { reuseReason } from '../../revocation/reasons.ts'
import { defineScript } from './define-script.ts'
import { openingArguments, publishingSessionPrelude } from './prelude.ts'
import { readSessionReply, type SessionReply } from './session-reply.ts'

export type RotateReply =
  | {
      readonly outcome: 'rotated' | 'fast_forwarded' | 'retried' | 'retried_late'
      /** The date of the access token, milliseconds: now by this clock, or the beginning of a session that is dated ahead. */
      readonly now: number
      readonly counter: number
      readonly session: SessionReply
    }
  | {
      readonly outcome: 'reused'
      readonly now: number
      readonly keptUntil: number
      readonly session: SessionReply
    }
  | { readonly outcome: 'ended' | 'expired' | 'client' | 'scope' }

/**
 * Judges a refresh token by its counter: ended, client, reuse, expiry, scope, in this order, and moves the session on or ends
 * it. Atomic: decided and written in one step, on this clock alone. Repeating a rotation within the grace is a retry.
 *
 * Touches the session, its user's version and session list, marks; on reuse also meta, stream and a look-up key.
 */
export const rotateScript = defineScript({
  name: 'rotate',
  version: 4,
  keys: ['meta_key', 'stream_key', 'session_key'],
  arguments: [
    'base',
    'sid',
    'counter',
    'client_given',
    'client',
    'scopes',
    'grace_ms',
    'lost_answer_ms',
    'idle_ms',
    'kick_out_id',
    ...openingArguments,
  ],
  prelude: publishingSessionPrelude,
  lua: `
local now, session = clock(), read_session(session_key)
if not session or is_over(session) then return { 'ended' } end
if client_given == '1' and client ~= session.client then return { 'client' } end
local current, presented = tonumber(session.counter), tonumber(counter)
local is_previous, age = presented == current - 1, now - tonumber(session.rotated_at)
local in_grace = is_previous and tonumber(grace_ms) > 0 and age <= tonumber(grace_ms)
local is_late = is_previous and not in_grace and tonumber(lost_answer_ms) > 0
  and age <= grace_ms + lost_answer_ms and session.retried_late_at ~= session.counter
local is_retry = in_grace or is_late
if presented < current and not is_retry then
  local problem, retention = open_log(new_epoch, partitions, retention_ms, now)
  if problem then return problem end
  local kept_until = kick_out_session(session, sid, kick_out_id, '${reuseReason}', retention, now)
  return { 'reused', int(now), int(kept_until), reply_of(session, sid) }
end
if now >= expiry_of(session) then return { 'expired' } end
for scope in string.gmatch(scopes, '[^ ]+') do
  if not string.find(' ' .. session.scope .. ' ', ' ' .. scope .. ' ', 1, true) then return { 'scope' } end
end
if is_late then redis.call('HSET', session_key, 'retried_late_at', session.counter) end
local outcome = is_late and 'retried_late' or is_retry and 'retried' or presented > current and 'fast_forwarded' or 'rotated'
if not is_retry then
  current = presented + 1
  session.counter = string.format('%015d', current)
  redis.call('HSET', session_key, 'counter', session.counter, 'rotated_at', int(now))
end
session.seen_at, session.idle_until = int(now), int(now + idle_ms)
redis.call('HSET', session_key, 'seen_at', session.seen_at, 'idle_until', session.idle_until)
redis.call('ZADD', base .. 'user-sessions:' .. session.owner, session.seen_at, sid)
redis.call('PEXPIRE', session_key, int(expiry_of(session) - now + retention_ms))
return { outcome, int(date_token(session, now)), int(current), reply_of(session, sid) }
`,
  parse(reply): RotateReply {
    const [outcome, now, counter, session] = reply as [
      RotateReply['outcome'], string, string, string[],
    ] // prettier-ignore
    switch (outcome) {
      case 'rotated':
      case 'retried':
      case 'retried_late':
      case 'fast_forwarded':
        return {
          outcome,
          now: Number(now),
          counter: Number(counter),
          session: readSessionReply(session),
        }
      case 'reused':
        return {
          outcome,
          now: Number(now),
          keptUntil: Number(counter),
          session: readSessionReply(session),
        }
      case 'ended':
      case 'expired':
      case 'client':
      case 'scope':
        return { outcome }
    }
  },
})

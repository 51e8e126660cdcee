/**
 * What every script that writes to the log shares: one clock, one way to begin a log, one way to append to it. It is one
 * text so that the numbering of the log, on which all proofs of freshness rest, has one author.
 */
const basics = `
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function int(number)
  return string.format('%.0f', number)
end
local function number_of(entry)
  return entry and tonumber(string.match(entry[2][2], '^(%d+):'))
end
`

const opening = `-- Whoever writes first begins the log. Its partitions can never change afterwards. Where only the meta key was lost,
-- numbers go on from those of the stream: were they given a second time, no count would ever add up again.
local function open_log(new_epoch, partitions, now)
  if redis.call('HSETNX', meta_key, 'epoch', new_epoch) == 1 then
    local seq = 0
    for _, entry in ipairs(redis.call('XREVRANGE', stream_key, '+', '-', 'COUNT', 100)) do
      seq = math.max(seq, number_of(entry) or 0)
    end
    redis.call('HSET', meta_key, 'created_at', int(now), 'partitions', partitions, 'format', 1,
      'seq', int(seq), 'first', int(seq + 1))
    return nil
  end
  local held = redis.call('HMGET', meta_key, 'partitions', 'created_at')
  if held[1] ~= partitions then
    return redis.error_reply('KICKOUTPARTITIONS ' .. tostring(held[1]))
  end
  -- Written by a primary whose clock was ahead of this one's.
  if tonumber(held[2]) > now then redis.call('HSET', meta_key, 'created_at', int(now)) end
end
`

const publishing = `-- Appends one revocation and leaves its look-up key. From 'first' on every number has to be there; it moves with our own
-- trimming only, so that entries which somebody else took away are missed by whoever counts.
local function publish(deny_key, revocation, at, kept_until, version, reason, window_ms, now)
  local oldest = number_of(redis.call('XRANGE', stream_key, '-', '+', 'COUNT', 1)[1])
  local seq = redis.call('HINCRBY', meta_key, 'seq', 1)
  local head = redis.call('HMGET', meta_key, 'epoch', 'first')
  redis.call('XADD', stream_key, 'MINID', '~', int(math.max(now - window_ms, 0)), '*',
    'd', table.concat({ int(seq), head[1], int(at), int(kept_until), version and int(version) or '' }, ':'),
    'r', revocation)
  local first = tonumber(head[2])
  if (oldest or seq) <= first then
    oldest = number_of(redis.call('XRANGE', stream_key, '-', '+', 'COUNT', 1)[1])
    redis.call('HSET', meta_key, 'first', int(math.max(first, oldest or first)))
  end
  local held_at, held_version, held_reason =
    string.match(redis.call('GET', deny_key) or '', '^(%d+):(%d*):(.*)$')
  if held_at and tonumber(held_at) > at then
    at, reason = tonumber(held_at), held_reason
  end
  if held_version and held_version ~= '' and version then
    version = math.max(version, tonumber(held_version))
  end
  local ttl = math.max(kept_until - now, redis.call('PTTL', deny_key), 1)
  redis.call('SET', deny_key, int(at) .. ':' .. (version and int(version) or '') .. ':' .. reason, 'PX', int(ttl))
  return seq
end
`

const sessions = `-- Reads a session's record as a table.
local function read_session(key)
  local flat, session = redis.call('HGETALL', key), nil
  for index = 1, #flat, 2 do
    session = session or {}
    session[flat[index]] = flat[index + 1]
  end
  return session
end
-- Whether its user, its client or everyone was kicked out since it began.
local function is_over(session)
  local version = redis.call('HGET', base .. 'user:' .. session.owner, 'version')
  if version and tonumber(session.version) < tonumber(version) then return true end
  local issuer = #session.issuer .. ':' .. session.issuer .. ':'
  local horizons = redis.call('HMGET', base .. 'horizons', 'everyone:' .. issuer, 'client:' .. issuer .. session.client)
  local began = tonumber(session.started_at)
  return began <= tonumber(horizons[1] or 0) or began <= tonumber(horizons[2] or 0)
end
local function expiry_of(session)
  return math.min(tonumber(session.idle_until), tonumber(session.ends_at))
end
local function reply_of(session, sid)
  return { sid, session.issuer, session.subject, session.client, session.scope, session.details,
    session.started_at, session.seen_at, int(expiry_of(session)), session.version,
    session.ends_at, session.counter }
end
`

/** For scripts that neither begin the log nor append to it. */
export const basicPrelude = basics
/** For scripts that may begin the log. */
export const openingPrelude = basics + opening
/** For scripts that append to it. */
export const prelude = basics + opening + publishing
/** For scripts that read sessions. They need an argument `base`. */
export const sessionPrelude = basics + sessions
/** For scripts that end sessions by what they find. */
export const publishingSessionPrelude = prelude + sessions

/**
 * What scripts share: one clock, one way to open a log, one way to append to it. It is one text, so that the numbering of
 * the log, on which every proof of freshness rests, has one author.
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
-- A look-up key holds at:version:epoch:id:reason.
local function read_fact(value)
  local at, version, epoch, id, reason = string.match(value or '', '^(%d+):(%d*):([^:]*):([^:]*):(.*)$')
  return at and { at = tonumber(at), version = tonumber(version), epoch = epoch, id = id, reason = reason }
end
`

const opening = `-- The first write opens the log. Its partitions can never change afterwards. Where only the meta key was lost, numbers
-- go on from those of the stream: a number that was given twice would make two different entries look the same.
-- Returns an error, or nothing and the retention: the largest that a process has given, in milliseconds.
local servers_key = string.sub(meta_key, 1, -5) .. 'servers'
local function open_log(new_epoch, partitions, retention_ms, now)
  local wanted = math.max(tonumber(retention_ms), tonumber(redis.call('HGET', servers_key, '#retention_ms') or '0'))
  if redis.call('HSETNX', meta_key, 'epoch', new_epoch) == 1 then
    local seq = 0
    for _, entry in ipairs(redis.call('XREVRANGE', stream_key, '+', '-', 'COUNT', 100)) do
      seq = math.max(seq, number_of(entry) or 0)
    end
    redis.call('HSET', meta_key, 'created_at', int(now), 'partitions', partitions, 'format', 2,
      'seq', int(seq), 'first', int(seq + 1), 'retention_ms', int(wanted))
    -- Its entries are older than this life of it: servers that hold lost ones may be about to write them again.
    if seq > 0 then redis.call('HSET', meta_key, 'told_at', int(now)) end
    return nil, wanted
  end
  local held = redis.call('HMGET', meta_key, 'partitions', 'created_at', 'told_at', 'retention_ms', 'raised_at', 'retention_before')
  if held[1] ~= partitions then
    return redis.error_reply('KICKOUTPARTITIONS ' .. tostring(held[1]))
  end
  -- Written by a primary whose clock was ahead of this one's.
  if tonumber(held[2]) > now then redis.call('HSET', meta_key, 'created_at', int(now)) end
  if tonumber(held[3] or '0') > now then redis.call('HSET', meta_key, 'told_at', int(now)) end
  if not held[4] then redis.call('HSET', meta_key, 'retention_ms', int(wanted)) end
  local retention = tonumber(held[4] or wanted)
  if wanted <= retention then return nil, retention end
  -- A raise counts for tokens issued after it: kick-outs of before were kept for less. While an earlier raise still
  -- concerns living tokens, the smaller of the two values goes on to count.
  local before = retention
  if held[5] and now - tonumber(held[5]) < wanted then before = math.min(before, tonumber(held[6])) end
  redis.call('HSET', meta_key, 'retention_ms', int(wanted), 'raised_at', int(now), 'retention_before', int(before))
  return nil, wanted
end
-- How far the clock of a process may be ahead of this one's. A clock that is further ahead is wrong.
local max_skew_ms = 60000
-- The moment of a kick-out that is to cover every token of before. This clock may be behind: behind the clock of an earlier
-- primary, which dated tokens ('latest', or 'seen_at' where that was lost too), or behind the clocks of the issuers.
local function moment(now)
  local at = math.max(now, tonumber(redis.call('HGET', meta_key, 'latest') or '0'), tonumber(seen_at))
  local sent = tonumber(sent_at)
  return sent - now <= max_skew_ms and math.max(at, sent) or at
end
-- Refuses the whole script where the user of the connection may not run one of its writes, so that nothing is left half done.
local function forbidden(writes)
  if not redis.acl_check_cmd then return nil end
  for _, write in ipairs(writes) do
    if not redis.acl_check_cmd(unpack(write)) then
      return redis.error_reply('NOPERM this Redis user may not run ' .. write[1] .. ' on the keys of the log')
    end
  end
end
`

const publishing = `-- Appends one revocation and leaves its look-up key. From 'first' on every number has to be there; 'first' moves with our
-- own trimming only, so that a reader that counts misses entries which something else took away.
local margin_ms = 120000
-- An entry that is awaited has a third field: servers report at once that they have applied it.
local function publish(deny_key, id, revocation, at, kept_until, version, reason, retention_ms, now, is_awaited)
  -- A primary whose clock is ahead would trim what is still needed. One whose writer's clock stands still must trim too.
  local trimming_at = math.max(math.min(now, tonumber(sent_at)), now - retention_ms)
  local oldest = number_of(redis.call('XRANGE', stream_key, '-', '+', 'COUNT', 1)[1])
  local seq = redis.call('HINCRBY', meta_key, 'seq', 1)
  local head = redis.call('HMGET', meta_key, 'epoch', 'first')
  local entry = { 'd', table.concat({ int(seq), head[1], int(at), int(kept_until), version and int(version) or '' }, ':'), 'r', revocation }
  if is_awaited then table.insert(entry, 'w') table.insert(entry, '1') end
  redis.call('XADD', stream_key, 'MINID', '~', int(math.max(trimming_at - retention_ms * 9 / 8 - margin_ms, 0)), '*', unpack(entry))
  local first = tonumber(head[2])
  if (oldest or seq) <= first then
    oldest = number_of(redis.call('XRANGE', stream_key, '-', '+', 'COUNT', 1)[1])
    redis.call('HSET', meta_key, 'first', int(math.max(first, oldest or first)))
  end
  local held = read_fact(redis.call('GET', deny_key))
  if held and held.at > at then at, reason = held.at, held.reason end
  if held and held.version and version then version = math.max(version, held.version) end
  local ttl = math.max(kept_until - now, redis.call('PTTL', deny_key), 1)
  redis.call('SET', deny_key, table.concat({ int(at), version and int(version) or '', head[1], id, reason }, ':'), 'PX', int(ttl))
  return seq, head[1]
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
  local marks = redis.call('HMGET', base .. 'marks', 'everyone:' .. issuer, 'client:' .. issuer .. session.client)
  local began = tonumber(session.started_at)
  return began <= tonumber(marks[1] or 0) or began <= tonumber(marks[2] or 0)
end
-- The date of an access token of this session: now, or when the session began where that was dated ahead. The log remembers
-- it, in whole seconds as tokens have them, so that a kick-out by a primary whose clock is behind covers the token.
local function date_token(session, now)
  local date = math.max(now, tonumber(session.started_at))
  local held = redis.call('HMGET', base .. 'meta', 'epoch', 'latest')
  if held[1] and math.floor(date / 1000) > math.floor(tonumber(held[2] or '0') / 1000) then
    redis.call('HSET', base .. 'meta', 'latest', int(date))
  end
  return date
end
local function expiry_of(session)
  return math.min(tonumber(session.idle_until), tonumber(session.ends_at))
end
local function reply_of(session, sid)
  return { sid, session.issuer, session.subject, session.client, session.scope, session.details,
    session.sealed or '', session.step_up or '', session.started_at, session.seen_at, int(expiry_of(session)), session.version,
    session.ends_at, session.counter }
end
`

const sessionEnds = `-- Ends a session, and appends its revocation. Returns until when the revocation is kept.
local function kick_out_session(session, sid, id, reason, retention_ms, now)
  local kept_until = now + retention_ms * 9 / 8
  redis.call('DEL', base .. 'session:' .. sid)
  redis.call('ZREM', base .. 'user-sessions:' .. session.owner, sid)
  publish(base .. 'deny:session:' .. session.deny, id,
    cjson.encode({ k = id, i = session.issuer, l = 'session', t = sid, r = reason }),
    now, kept_until, nil, reason, retention_ms, now)
  return kept_until
end
`

/** For scripts that neither open the log nor append to it. */
export const basicPrelude = basics
/** What {@link openingPrelude} is given: what the writer believes about the log, and by which clocks. */
export const openingArguments = [
  'new_epoch',
  'partitions',
  'retention_ms',
  // The clock of the writer, and the latest date of a token or session that it has read from the log.
  'sent_at',
  'seen_at',
] as const
/** For scripts that may open the log. They need the {@link openingArguments}. */
export const openingPrelude = basics + opening
/** For scripts that append to it. */
export const prelude = basics + opening + publishing
/** For scripts that read sessions. They need an argument `base`. */
export const sessionPrelude = basics + sessions
/** For scripts that end sessions by what they find. */
export const publishingSessionPrelude = prelude + sessions + sessionEnds

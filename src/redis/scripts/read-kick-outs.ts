import { defineScript } from './define-script.ts'
import { basicPrelude } from './prelude.ts'

/** One entry of the stream, as Redis gives it. */
export type StreamEntry = readonly [position: string, fields: readonly string[]]

/** How many entries one call looks at. More would hold up other commands. */
const scannedPerCall = 2000

/**
 * Reads the newest kick-outs of one partition that fit a filter, none that is older than the retention by the store's clock.
 * Reads only. Where `next` is not empty, there may be more before that position.
 *
 * Declares servers, as all scripts that a resource server runs; reads the stream and meta.
 */
export const readKickOutsScript = defineScript({
  name: 'read-kick-outs',
  version: 2,
  isAllowedWhenFull: true,
  keys: ['servers_key'],
  arguments: ['retention_ms', 'limit', 'before', 'by', 'level', 'target', 'issuers'],
  prelude: basicPrelude,
  lua: `
local base = string.sub(servers_key, 1, -8)
local kept_ms = math.max(tonumber(retention_ms), tonumber(redis.call('HGET', base .. 'meta', 'retention_ms') or '0'))
local oldest = int(math.max(clock() - kept_ms, 0))
local by_anyone, ruled = by == '*', issuers ~= '' and cjson.decode(issuers)
local function fits(text)
  if by == '' and level == '' and target == '' and not ruled then return true end
  local is_json, entry = pcall(cjson.decode, text)
  if not is_json or type(entry) ~= 'table' then return false end
  local author = type(entry.b) == 'table' and (entry.b.subject or entry.b.client) or entry.b
  if by ~= '' and (author == nil or not by_anyone and author ~= by) then return false end
  if level ~= '' and entry.l ~= level or target ~= '' and entry.t ~= target then return false end
  if not ruled then return true end
  for _, issuer in ipairs(ruled) do
    if issuer == entry.i then return true end
  end
  return false
end
local entries = redis.call('XREVRANGE', base .. 'stream', before == '' and '+' or '(' .. before, oldest, 'COUNT', ${scannedPerCall})
local found, last = {}, ''
for index, entry in ipairs(entries) do
  if fits(entry[2][4] or '') then table.insert(found, entry) end
  if #found == tonumber(limit) or index == ${scannedPerCall} then
    last = entry[1]
    break
  end
end
return { found, last }
`,
  parse(reply): { readonly entries: StreamEntry[]; readonly next: string | undefined } {
    const [entries, next] = reply as [StreamEntry[], string]
    return { entries, next: next === '' ? undefined : next }
  },
})

-- The tokens of a file in turn, from an offset on; what it found as one line of JSON.

local requests = {}
local current = 0

function init(args)
  for token in io.lines(args[1]) do
    local headers = { Authorization = 'Bearer ' .. token }
    requests[#requests + 1] = wrk.format('GET', '/reports', headers)
  end
  current = tonumber(args[2]) % #requests
end

function request()
  current = current % #requests + 1
  return requests[current]
end

function done(summary, latency)
  local errors = summary.errors
  local failures = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"failures":%d,"p99":%f}\n',
    summary.requests, summary.duration / 1e6, failures, latency:percentile(99) / 1000
  ))
end

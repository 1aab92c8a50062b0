-- wrk -s targets.lua URL -- METHOD FILE SIZE
-- Cycles through the request targets in FILE, one a line. With SIZE > 0 each request carries a body of SIZE bytes.
local requests, turn = {}, 0

function init(args)
  local size = tonumber(args[3])
  local body = size > 0 and string.rep("0123456789abcdef", size / 16) or nil
  for target in io.lines(args[2]) do requests[#requests + 1] = wrk.format(args[1], target, nil, body) end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %.1f %.1f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

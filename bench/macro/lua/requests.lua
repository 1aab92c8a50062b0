-- wrk -s requests.lua URL -- METHOD PREFIX COUNT SIZE SUFFIX
-- PREFIX @FILE: the requests are the lines of FILE, a target each, and header lines, separated by tabs. Otherwise:
-- Cycles through COUNT names PREFIX0..PREFIX<COUNT-1>; COUNT 0 gives every request a name of its own.
-- With SIZE > 0 each request carries a body of SIZE bytes.
local method, prefix, count, size, suffix, body
local requests, turn, run = {}, 0, 0

local function of_line(line)
  local headers, target = {}, nil
  for field in line:gmatch("[^\t]+") do
    if target then
      local name, value = field:match("^([^:]+): (.*)$")
      headers[name] = value
    else
      target = field
    end
  end
  return wrk.format(method, target, headers, body)
end

function init(args)
  method, prefix, count, size, suffix = args[1], args[2], tonumber(args[3]), tonumber(args[4]), args[5] or ""
  body = size > 0 and string.rep("0123456789abcdef", size / 16) or nil
  run = os.time() % 100000
  for i = 0, count - 1 do
    requests[i + 1] = wrk.format(method, prefix .. i .. suffix, nil, body)
  end
  if prefix:sub(1, 1) == "@" then
    for line in io.lines(prefix:sub(2)) do requests[#requests + 1] = of_line(line) end
    count = #requests
  end
end

function request()
  turn = turn + 1
  if count == 0 then return wrk.format(method, prefix .. run .. "-" .. turn .. suffix, nil, body) end
  if turn > count then turn = 1 end
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %.1f %.1f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

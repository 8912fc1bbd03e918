-- Load for benchmarks/product/serve.py: each request posts the next line of a file. At the end one line of JSON on
-- stdout holds the number of requests, the errors, the seconds, and 100 quantiles of the latency in milliseconds.

local bodies = {}
local position = 0

function init(arguments)
  for line in io.lines(arguments[1]) do bodies[#bodies + 1] = line end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  position = position % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[position])
end

function done(summary, latency, requests)
  local errors = summary.errors
  local quantiles = {}
  for number = 1, 100 do quantiles[number] = string.format("%.3f", latency:percentile(number - 0.5) / 1000) end
  io.write(string.format(
    '{"n": %d, "errors": %d, "seconds": %.3f, "milliseconds": [%s]}\n', summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.duration / 1e6,
    table.concat(quantiles, ", ")))
end

-- What wrk sends: leads unlike each other, in the shape the marketplace really sends. FIRST is the first one's number.
-- The last line of the output is the result in JSON; times in milliseconds.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local first = tonumber(os.getenv("FIRST") or "0")
local number = 0
local threads = 0
local body = '{"userDetails": {"firstName": "Some", "lastName": "One %d", "email": "someone%d@contoso.com", '
  .. '"phone": "16175555555", "country": "US", "company": "Contoso", "title": "Esquire"}, '
  .. '"leadSource": "AzureMarketplace", "actionCode": "INS", "offerTitle": "Test Microsoft", "description": "Test run"}'

function setup(thread)
  thread:set("mine", threads * 10000000)
  threads = threads + 1
end

function request()
  number = number + 1
  local lead = first + mine + number
  return wrk.format(nil, nil, nil, string.format(body, lead, lead))
end

function done(summary, latency, requests)
  local errors = summary.errors
  local refused = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\n{"answers": %d, "seconds": %.6f, "refused": %d, "failed": %d, "p50": %.3f, "p99": %.3f, "max": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status, refused,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end

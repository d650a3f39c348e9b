-- What every script here shares: its arguments, and the line that is read.

local report = {}

-- `name=value` of the command line.
function report.arguments(args)
  local named = {}
  for index = 1, #args do
    local name, value = args[index]:match("^([^=]+)=(.*)$")
    if name then named[name] = value end
  end
  return named
end

-- Same numbers in every run, others in every thread of it.
function report.seed()
  math.randomseed(42 + (thread_number or 0))
end

local threads = {}

-- Gives each thread its number, as `thread_number`.
function report.setup(thread)
  thread:set("thread_number", #threads)
  threads[#threads + 1] = thread
end

-- For `init`: percentiles are told as 0. A thread has a state of its own;
-- `done` sees its globals.
function report.latency_means_nothing()
  no_latency = true
end

-- The line.
function report.done(summary, latency)
  local errors = summary.errors
  local function percentile(p)
    return threads[1]:get("no_latency") and 0 or latency:percentile(p)
  end
  print(string.format(
    "counted requests=%d duration_us=%d bytes=%d connect=%d read=%d write=%d timeout=%d " ..
    "status=%d p50=%.0f p90=%.0f p99=%.0f p99.9=%.0f",
    summary.requests, summary.duration, summary.bytes, errors.connect, errors.read, errors.write,
    errors.timeout, errors.status, percentile(50), percentile(90), percentile(99),
    percentile(99.9)))
end

return report

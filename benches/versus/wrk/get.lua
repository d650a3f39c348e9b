-- GET path=PATH, with header=LINE if given. depth=N sends N at once;
-- close_every=N closes a connection after one request in N, by chance, since
-- wrk does not tell a script which connection it asks for.

local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
local report = dofile(folder .. "report.lua")
setup, done = report.setup, report.done

function init(args)
  report.seed()
  local named = report.arguments(args)
  wrk.path = named.path
  local name, value = (named.header or ""):match("^([^:]+): *(.*)$")
  if name then wrk.headers[name] = value end
  local depth, every = tonumber(named.depth or 1), tonumber(named.close_every or 0)
  local keep = wrk.format("GET", named.path)
  if depth > 1 then
    local all = keep:rep(depth)
    request = function() return all end
    -- wrk times all answers to one write as one, and then corrects for as
    -- many as there were: its percentiles mean nothing here.
    report.latency_means_nothing()
  elseif every > 0 then
    wrk.headers["Connection"] = "close"
    local close = wrk.format("GET", named.path)
    wrk.headers["Connection"] = nil
    request = function() return math.random(every) == 1 and close or keep end
  end
end

-- GET /api/users/{id} for ids 1 to ids=N: uniformly, or with zipf=S the n-th
-- with odds 1/n^S, the popular ones spread over all ids. The requests are made
-- once, so that wrk keeps up.

local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
local report = dofile(folder .. "report.lua")
setup, done = report.setup, report.done

local DRAWS = 200000

local function uniform(count)
  local requests = {}
  for id = 1, count do
    requests[id] = wrk.format("GET", "/api/users/" .. id)
  end
  return requests
end

-- As many of each as its odds are, in a random order.
local function zipf(count, s)
  local up_to, sum = {}, 0
  for n = 1, count do
    sum = sum + n ^ -s
    up_to[n] = sum
  end
  local of_id, requests = {}, {}
  for draw = 1, DRAWS do
    local at, low, high = math.random() * sum, 1, count
    while low < high do
      local middle = math.floor((low + high) / 2)
      if up_to[middle] < at then low = middle + 1 else high = middle end
    end
    -- A prime that divides no count used here: a permutation of the ids.
    local id = (low * 7919) % count + 1
    of_id[id] = of_id[id] or wrk.format("GET", "/api/users/" .. id)
    requests[draw] = of_id[id]
  end
  return requests
end

function init(args)
  report.seed()
  local named = report.arguments(args)
  local count = tonumber(named.ids)
  local requests = named.zipf and zipf(count, tonumber(named.zipf)) or uniform(count)
  local all = #requests
  request = function() return requests[math.random(all)] end
end

-- GET PATH/ID for ids 1 to 1,000, uniformly, each with the same odds every
-- time; PATH is that of wrk's address. The requests are made once, so that wrk
-- keeps up.

local requests = {}

function init(_)
  math.randomseed(42)
  for id = 1, 1000 do
    requests[id] = wrk.format("GET", wrk.path .. "/" .. id)
  end
end

function request()
  return requests[math.random(1, 1000)]
end

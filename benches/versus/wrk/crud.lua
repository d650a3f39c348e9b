-- The users API: of 100 requests 75 read a user of ids 1 to ids=N, 15 replace
-- one, 5 read the first page, 5 add one. close_every=N closes a connection
-- after one request in N, by chance.

local folder = debug.getinfo(1, "S").source:match("^@(.*/)")
local report = dofile(folder .. "report.lua")
setup, done = report.setup, report.done

function init(args)
  report.seed()
  local named = report.arguments(args)
  local count, every = tonumber(named.ids), tonumber(named.close_every)
  -- Emails are unique in the table, over all runs against it.
  local mark = named.unique .. "-" .. (thread_number or 0)
  local added, reads = 0, {}
  local host = wrk.headers["Host"]
  for id = 1, count do
    reads[id] = "GET /api/users/" .. id .. " HTTP/1.1\r\nHost: " .. host .. "\r\n"
  end
  local list = "GET /api/users?limit=20 HTTP/1.1\r\nHost: " .. host .. "\r\n"

  local function write(method, path, body)
    return method .. " " .. path .. " HTTP/1.1\r\nHost: " .. host ..
      "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n", body
  end

  local function draw()
    local kind = math.random(100)
    if kind <= 75 then
      return reads[math.random(count)], ""
    elseif kind <= 90 then
      local id, age = math.random(count), math.random(18, 90)
      return write("PUT", "/api/users/" .. id, string.format(
        '{"name":"Replaced %d","email":"replaced-%d@versus.example","age":%d}', id, id, age))
    elseif kind <= 95 then
      return list, ""
    end
    added = added + 1
    return write("POST", "/api/users", string.format(
      '{"name":"Added %d","email":"added-%s-%d@versus.example","age":%d}', added, mark, added,
      math.random(18, 90)))
  end

  request = function()
    local head, body = draw()
    local close = math.random(every) == 1 and "Connection: close\r\n" or ""
    return head .. close .. "\r\n" .. body
  end
end

-- Sessions of nodes: what they say of themselves, and what becomes of those that say nothing any more.
--
-- ARGV[2] are parameters as JSON. Times and counts are texts outside and numbers inside, since the JSON of Lua keeps 14 digits of a
-- number. Answers JSON.
local request, V = cjson.decode(ARGV[2]), {}
local NONE, FORMAT = cjson.null, '3:12'
local function given(value) return value ~= nil and value ~= NONE end
local function millis() return math.floor(now_micros() / 1000) end
local damage = {}

-- Whether these are other data than the node knows, or none. Where only the birth is lost, the node writes it down again.
local function is_replaced()
  local birth = call('HGET', K'meta', 'birth')
  if birth == request.birth then return false end
  local is_whole = birth and tonumber(birth) and #birth >= #request.birth
  if is_whole or call('EXISTS', K'sl', K'nt', K'nj') == 0 then return true end
  call('HSET', K'meta', 'birth', request.birth, 'schema', FORMAT)
  damage[1] = 'store `meta`: the birth of its data was lost; it is written down again'
  return false
end

-- In milliseconds.
local SHORTEST_LEASE = 1000

-- All nodes go by one lease: that of the first. Where it or the step that belongs to it is damaged, by that of the next one that asks.
local function lease_of_all()
  local known = call('HMGET', K'meta', 'lease', 'cap')
  local lease, step = tonumber(known[1] or ''), tonumber(known[2] or '')
  if lease and step and lease >= SHORTEST_LEASE and math.abs(18 * step - 5 * lease) <= 18 then return lease end
  call('HSET', K'meta', 'lease', request.lease, 'cap', request.cap)
  return tonumber(request.lease)
end

-- The lease clock: goes forward with the server's, but never by more than `cap` between two looks and never back. So neither
-- a clock that is set nor a server that was away ends all leases at once. No lease ends later than one lease from now; by that a clock
-- that was lost finds its place again.
local function tick(lease)
  local clock, now = call('HMGET', K'meta', 'lc', 'lw', 'cap'), millis()
  local passed = now - (tonumber(clock[2] or '') or now)
  local earliest = tonumber(call('ZRANGE', K'sl', 0, 0, 'WITHSCORES')[2] or '') or 0
  local lc = math.max(tonumber(clock[1] or '') or 0, earliest - lease)
  lc = lc + math.max(0, math.min(passed, tonumber(clock[3] or '') or 0))
  call('HSET', K'meta', 'lc', text(lc), 'lw', text(now))
  return lc
end

-- Which data it is; what is new here is noted.
function V.boot()
  call('HSETNX', K'meta', 'schema', FORMAT)
  call('HSETNX', K'meta', 'birth', text(now_micros()))
  local known = call('HMGET', K'meta', 'schema', 'birth')
  return { schema = known[1], birth = known[2], micros = text(now_micros()) }
end

function V.attach()
  if is_replaced() then return { gone = true } end
  local session = request.session
  if call('ZCARD', K'sl') == 0 then call('HDEL', K'meta', 'lease') end
  local lease = lease_of_all()
  local lc = tick(lease)
  local queues = given(request.queues) and request.queues or nil
  call('HSET', K'ss', session, cjson.encode({ t = request.types, q = queues, n = request.name, v = request.version }))
  call('HSET', K'sn', session, text(millis()))
  local run = epoch()
  call('ZADD', K'sl', text(lc + lease), session)
  -- Its registration was forgotten, and what it has in hand may be too.
  if request.tells then call('SADD', K'untold', session) end
  if not tonumber(call('HGET', K'sc', session) or '') then call('HSET', K'sc', session, text(count(1) + 1)) end
  -- Calls of an earlier life under this number do nothing.
  if request.turn > (tonumber(call('HGET', K'tn', session) or '') or 0) then call('HSET', K'tn', session, text(request.turn)) end
  return { lease = text(lease), epoch = run }
end

function V.beat()
  if is_replaced() then return { gone = true } end
  local lease, alive = lease_of_all(), {}
  local lc = tick(lease)
  for n, session in ipairs(request.sessions) do
    alive[n] = is_registered(session) and true or false
    if alive[n] then
      call('ZADD', K'sl', text(lc + lease), session)
      call('HSET', K'sn', session, text(millis()))
    end
  end
  -- Higher than the server knows, if it has come back with older data.
  if given(request.seen) then count(1, tonumber(request.seen)) end
  local dead = call('ZCOUNT', K'sl', '-inf', text(lc)) > 0 or call('SCARD', K'orphans') > 0 or call('HLEN', K'chores') > 0
  return {
    alive = alive, dead = dead, epoch = (epoch()), micros = text(now_micros()), lease = text(lease),
    ver = call('HGET', K'meta', 'ver') or '0',
  }
end

function V.told()
  if epoch() == request.epoch then call('SREM', K'untold', request.session) end
  return {}
end

-- Ends the session that is named, or one whose lease is over: from now on its claims are those of nobody. Names what one has left behind with its node.
function V.take_over()
  local lc = text(tonumber(call('HGET', K'meta', 'lc') or '') or 0)
  local session = given(request.session) and request.session or call('ZRANGEBYSCORE', K'sl', '-inf', lc, 'LIMIT', 0, 1)[1]
  if session then
    local node, claims = call('HGET', K'ss', session), K('cl:' .. session)
    call('ZREM', K'sl', session)
    for _, hash in ipairs({ 'ss', 'sn', 'sc', 'tn' }) do call('HDEL', K(hash), session) end
    call('DEL', K('stop:' .. session))
    call('SREM', K'untold', session)
    call('SREM', K'homes', session)
    if call('EXISTS', claims) == 1 then
      local name = session .. '@' .. text(count(1) + 1)
      call('RENAME', claims, K('orphan:' .. name))
      call('SADD', K'orphans', name)
      if node then call('HSET', K'owners', name, node) end
    end
  end
  local name
  for _ = 1, 100 do
    name = call('SRANDMEMBER', K'orphans')
    if not name or call('EXISTS', K('orphan:' .. name)) == 1 then break end
    call('SREM', K'orphans', name)
    call('HDEL', K'owners', name)
  end
  return { ended = session or NONE, orphan = name or NONE, node = name and call('HGET', K'owners', name) or NONE }
end

function V.nodes()
  local nodes, all = {}, call('HGETALL', K'ss')
  for n = 1, #all, 2 do
    local heard = tonumber(call('HGET', K'sn', all[n]) or '') or 0
    nodes[#nodes + 1] = { s = all[n], n = all[n + 1], q = text(math.max(0, millis() - heard)) }
  end
  return nodes
end

return guarded(function()
  local answer = V[ARGV[1]]()
  if answer[1] == nil and next(answer) == nil then answer = NONE end
  return { 'ok', cjson.encode(answer), damage[1] or '' }
end)

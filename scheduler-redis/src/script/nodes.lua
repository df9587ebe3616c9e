
-- Sessions of nodes.

-- What the types of the fixed keys are.
local TYPES = {
  ts = 'hash', td = 'hash', jd = 'hash', jo = 'hash', gt = 'hash', gj = 'hash', eg = 'hash', busy = 'hash', ss = 'hash',
  sn = 'hash', sc = 'hash', tn = 'hash', cal = 'hash', marks = 'hash', pg = 'hash', pj = 'hash', chores = 'hash', meta = 'hash', ti = 'zset', ji = 'zset',
  over = 'zset', lapse = 'zset', pe = 'zset', sl = 'zset', px = 'set', types = 'set', ew = 'set', homes = 'set',
  graves = 'set', untold = 'set', hist = 'stream', aside = 'set',
}
-- And the kinds of those of which there may be many, by what they begin with.
local FAMILIES = {
  lane = 'zset', due = 'zset', q = 'zset', jt = 'zset', ql = 'set', rt = 'set', cu = 'set', cl = 'hash', grave = 'hash', stop = 'hash',
  ad = 'string',
}
local function kind_of(name) return TYPES[name] or FAMILIES[string.match(name, '^(%l+):')] end

-- Moves a key of the wrong kind out of the way, whatever it is, and says what it is and should be.
function V.set_aside()
  local name = request.key
  local found, kind = redis.call('TYPE', K(name)).ok, kind_of(name)
  if not kind or found == kind or found == 'none' then return {} end
  redis.call('RENAME', K(name), K('aside:' .. name))
  redis.call('SADD', K'aside', name)
  return { found = found, kind = kind }
end

-- What an ACL may forbid: each once, on a key of its own.
local PROBES = {
  { 'TYPE', 'h' },
  { 'HSET', 'h', 'a', '1' }, { 'HSETNX', 'h', 'a', '1' }, { 'HGET', 'h', 'a' }, { 'HMGET', 'h', 'a' }, { 'HGETALL', 'h' },
  { 'HKEYS', 'h' }, { 'HLEN', 'h' }, { 'HSCAN', 'h', '0', 'COUNT', '1' }, { 'HRANDFIELD', 'h', '1' },
  { 'HEXISTS', 'h', 'a' }, { 'HINCRBY', 'h', 'a', '1' }, { 'HDEL', 'h', 'b' },
  { 'ZADD', 'z', '1', 'a' }, { 'ZRANGE', 'z', '0', '0' }, { 'ZRANGEBYSCORE', 'z', '0', '1' }, { 'ZSCORE', 'z', 'a' },
  { 'ZCARD', 'z' }, { 'ZCOUNT', 'z', '0', '1' }, { 'ZREM', 'z', 'b' }, { 'ZRANGEBYLEX', 'z', '-', '+' },
  { 'ZREMRANGEBYRANK', 'z', '1', '1' }, { 'ZLEXCOUNT', 'z', '-', '+' },
  { 'SADD', 's', 'a' }, { 'SMEMBERS', 's' }, { 'SSCAN', 's', '0', 'COUNT', '1' }, { 'SISMEMBER', 's', 'a' }, { 'SRANDMEMBER', 's' }, { 'SCARD', 's' },
  { 'SREM', 's', 'b' }, { 'EXISTS', 's' }, { 'RENAME', 's', 'r' }, { 'SET', 't', '1', 'EX', '1' }, { 'GET', 't' },
  { 'XADD', 'x', 'MAXLEN', '~', '1', '*', 'a', '1' }, { 'XREVRANGE', 'x', '+', '-' }, { 'PUBLISH', 'probe', '' },
  { 'DEL', 'h', 'z', 'r', 'x' },
}

-- Before anything else: whether this is a store of ours, one that this program understands, and one that it may use.
function V.boot()
  local forbidden = {}
  for _, probe in ipairs(PROBES) do
    local words = { probe[1] }
    for n = 2, #probe do
      local is_key = n == 2 or probe[1] == 'DEL' or (probe[1] == 'RENAME' and n == 3)
      words[n] = is_key and K('probe:' .. probe[n]) or probe[n]
    end
    local answer = redis.pcall(unpack(words))
    if type(answer) == 'table' and answer.err then forbidden[#forbidden + 1] = { probe[1], answer.err } end
  end
  if #forbidden > 0 then return refuse('forbidden', forbidden) end
  local wrong = {}
  for name, kind in pairs(TYPES) do
    local found = redis.call('TYPE', K(name)).ok
    if found ~= kind and found ~= 'none' then wrong[#wrong + 1] = { K(name), found, kind } end
  end
  if #wrong > 0 then return refuse('types', wrong) end
  local schema = redis.call('HGET', K'meta', 'schema')
  if not schema then
    schema = FORMAT .. ':' .. FORMAT
    redis.call('HSET', K'meta', 'schema', schema, 'birth', text(count()))
  end
  local format, least = string.match(schema, '^(%d+):(%d+)$')
  if not least or tonumber(least) > FORMAT then return refuse('schema', { { tostring(format), tostring(FORMAT) } }) end
  return { birth = redis.call('HGET', K'meta', 'birth'), micros = text(server_micros()) }
end

-- Whether these are other data than the node knows, or none. Where only the birth is lost, the node writes it down again.
local function is_replaced()
  local birth = redis.call('HGET', K'meta', 'birth')
  if birth == request.birth then return false end
  local is_whole = birth and tonumber(birth) and #birth >= #request.birth
  if is_whole or redis.call('EXISTS', K'sl', K'ti', K'ji') == 0 then return true end
  redis.call('HSET', K'meta', 'birth', request.birth, 'schema', FORMAT .. ':' .. FORMAT)
  report('store', 'meta', 'the birth of its data was lost; it is written down again')
  return false
end

-- In milliseconds.
local SHORTEST_LEASE = 1000

-- All nodes go by one lease: that of the first. Where it or the step that belongs to it is damaged, by that of the next one that asks.
local function lease_of_all()
  local known = redis.call('HMGET', K'meta', 'lease', 'cap')
  local lease, step = tonumber(known[1] or ''), tonumber(known[2] or '')
  if lease and step and lease >= SHORTEST_LEASE and math.abs(18 * step - 5 * lease) <= 18 then return lease end
  redis.call('HSET', K'meta', 'lease', request.lease, 'cap', request.cap)
  return tonumber(request.lease)
end

-- The lease clock: goes forward with the server's, but never by more than `cap` between two looks and never back. So neither
-- a clock that is set nor a server that was away ends all leases at once. No lease ends later than one lease from now; by that a clock that was lost
-- finds its place again.
local function tick(lease)
  local clock = redis.call('HMGET', K'meta', 'lc', 'lw', 'cap')
  local now = server_millis()
  local passed = now - (tonumber(clock[2] or '') or now)
  local _, earliest = head('sl')
  local lc = math.max(tonumber(clock[1] or '') or 0, (earliest or 0) - lease)
  lc = lc + math.max(0, math.min(passed, tonumber(clock[3]) or 0))
  redis.call('HSET', K'meta', 'lc', text(lc), 'lw', text(now))
  return lc
end

function V.attach()
  if is_replaced() then return { gone = true } end
  if redis.call('ZCARD', K'sl') == 0 then redis.call('HDEL', K'meta', 'lease') end
  local lease = lease_of_all()
  local lc = tick(lease)
  redis.call('HSET', K'ss', request.session, cjson.encode({ t = request.types, n = request.name, v = request.version }))
  redis.call('HSET', K'sn', request.session, text(server_millis()))
  local run = epoch()
  redis.call('ZADD', K'sl', text(lc + lease), request.session)
  -- Its registration was forgotten, and what it has in hand may be too.
  if request.tells then redis.call('SADD', K'untold', request.session) end
  if not tonumber(get('sc', request.session) or '') then put('sc', request.session, text(count())) end
  -- Calls of an earlier life under this number do nothing.
  if request.turn > (tonumber(get('tn', request.session) or '0') or 0) then put('tn', request.session, text(request.turn)) end
  return { lease = text(lease), epoch = run }
end

function V.beat()
  if is_replaced() then return { gone = true } end
  local lease, alive = lease_of_all(), {}
  local lc = tick(lease)
  for n, session in ipairs(request.sessions) do
    alive[n] = is_registered(session)
    if alive[n] then
      redis.call('ZADD', K'sl', text(lc + lease), session)
      redis.call('HSET', K'sn', session, text(server_millis()))
    end
  end
  -- Higher than the server knows, if it has come back with older data.
  if given(request.seen) then
    count()
    counter = math.max(counter, tonumber(request.seen))
  end
  local dead = redis.call('ZCOUNT', K'sl', '-inf', text(lc)) > 0 or redis.call('SCARD', K'graves') > 0
  return {
    alive = alive, dead = dead, epoch = (epoch()), micros = text(server_micros()),
    lease = text(lease), chores = abandoned() ~= nil,
    ver = redis.call('HGET', K'meta', 'ver') or '0',
  }
end

-- The end of a session: from now on its runs are those of nobody.
local function entomb(session)
  redis.call('ZREM', K'sl', session)
  redis.call('HDEL', K'ss', session)
  redis.call('HDEL', K'sn', session)
  redis.call('HDEL', K'sc', session)
  redis.call('HDEL', K'tn', session)
  redis.call('DEL', K('stop:' .. session))
  redis.call('SREM', K'untold', session)
  redis.call('SREM', K'homes', session)
  local claims = K('cl:' .. session)
  if redis.call('EXISTS', claims) == 1 then
    local name = session .. '@' .. text(count())
    redis.call('RENAME', claims, K('grave:' .. name))
    redis.call('SADD', K'graves', name)
  end
  -- What it has not fired is given back now, or when it lapses.
  local waiting = redis.call('ZRANGE', ordered('lapse'), 0, PART - 1)
  fetch('ts', waiting)
  for _, key in ipairs(waiting) do
    local s = load(key)
    if s and s[CLAIM] and session_of(s[CLAIM]) == session then
      place('lapse', key, 0)
      wake = true
    end
  end
end

function V.detach()
  entomb(request.session)
  return {}
end

local function lost_run(id, claim)
  local s, meta = load(claim[TRIGGER]), job(claim[OF_JOB])
  return {
    c = id, j = claim[OF_JOB], t = claim[TRIGGER], n = text(claim[DUE]), s = text(claim[SINCE]), r = meta and meta.r or false, o = claim[NODE], g = claim[GROUP],
    d = s and s[LINEAGE] == claim[OF_LINEAGE] and get('td', claim[TRIGGER]) or nil,
  }
end

-- Ends a session whose lease is over, and says what such sessions had: a part, until `done`.
function V.lost()
  local lc = redis.call('HGET', K'meta', 'lc') or '0'
  local over = redis.call('ZRANGEBYSCORE', K'sl', '-inf', lc, 'LIMIT', 0, 1)
  if over[1] then entomb(over[1]) end
  local name = redis.call('SRANDMEMBER', K'graves')
  if not name then return { done = over[1] == nil } end
  local grave, lost = 'grave:' .. name, {}
  local found = redis.call('HRANDFIELD', K(grave), BATCH, 'WITHVALUES')
  for n = 1, #found, 2 do
    local id, claim = found[n], read_claim(found[n + 1])
    if claim then lost[#lost + 1] = lost_run(id, claim) else put(grave, id, false) end
  end
  if #lost == 0 and #found < 2 * BATCH then redis.call('SREM', K'graves', name) end
  wake = true
  return { done = false, rows = lost }
end

-- The runs of a living session of which its node knows nothing, but for those of which it will be told.
function V.unknown()
  local lost, unheard = {}, num(request.unheard) or math.huge
  for _, id in ipairs(unknown_runs()) do
    local claim = number_of(id) <= unheard and claim_of(id, true)
    if claim then lost[#lost + 1] = lost_run(id, claim) end
    if #lost == BATCH then break end
  end
  wake = true
  return { rows = lost }
end

function V.nodes()
  local nodes, all = {}, redis.call('HGETALL', K'ss')
  for n = 1, #all, 2 do
    local runs = redis.call('HLEN', K('cl:' .. all[n]))
    local heard = tonumber(redis.call('HGET', K'sn', all[n]) or '0') or 0
    nodes[#nodes + 1] = { s = all[n], n = all[n + 1], r = runs, q = text(math.max(0, server_millis() - heard)) }
  end
  return nodes
end

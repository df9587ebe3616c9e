
-- Claims. One is a table: f it was fired, x its job allowed one run at a time, g generation, i
-- lineage, s since when, n when it was due, t trigger, j job, e execution group as in the lane, o name of the node.
local CLAIM = '>BBddddI2c0I2c0I2c0Bc0'

local function read_claim(record)
  local is_whole, f, x, g, i, s, n, t, j, e, o = pcall(struct.unpack, CLAIM, record)
  return is_whole and {
    f = f == 1, x = x == 1, g = g, i = i, s = s, n = n, t = t, j = j, e = e ~= '0' and e or nil, o = o,
  }
end

local function write_claim(c)
  local e, o = c.e or '0', c.o or ''
  return struct.pack(
    CLAIM, c.f and 1 or 0, c.x and 1 or 0, c.g, c.i, c.s, c.n, #c.t, c.t, #c.j, c.j, #e, e, #o, o
  )
end

-- The claim of this id with the hash in which it is; only of living sessions if that is wished.
local graves
local function claim_of(id, living)
  local home = 'cl:' .. session_of(id)
  local record = get(home, id)
  if not record and not living then
    graves = graves or redis.call('SMEMBERS', K'graves')
    for _, name in ipairs(graves) do
      home = 'grave:' .. name
      record = string.find(name, session_of(id) .. '@', 1, true) == 1 and get(home, id)
      if record then break end
    end
  end
  local claim = record and read_claim(record)
  if claim then return claim, home end
end

local with_stops = {}
local function has_stops(session)
  if with_stops[session] == nil then with_stops[session] = redis.call('EXISTS', K('stop:' .. session)) == 1 end
  return with_stops[session]
end

local function end_claim(id)
  local claim, home = claim_of(id)
  if not claim then return nil end
  put(home, id, false)
  if not claim.f then place('lapse', id, false) end
  if has_stops(session_of(id)) then redis.call('HDEL', K('stop:' .. session_of(id)), id) end
  if claim.e then
    add('eg', claim.e, -1)
    if redis.call('SREM', K'ew', claim.e) == 1 then wake, loud = true, true end
  end
  if claim.x and is_busy(claim.j) == id then
    put('busy', claim.j, false)
    offer(claim.j)
  end
  return claim
end

-- The runs of a trigger: one by itself stands in its state, several in a set until all have ended.
local function begin_run(s, id)
  local all = K('rt:' .. text(s.i))
  if s.u == 0 then
    s.w = id
  else
    if s.w then redis.call('SADD', all, s.w) end
    s.w = nil
    redis.call('SADD', all, id)
  end
  s.u = s.u + 1
end

local function end_run(s, id)
  s.u = math.max(s.u - 1, 0)
  if s.w == id then s.w = nil else redis.call('SREM', K('rt:' .. text(s.i)), id) end
end

local function runs_under_way(s)
  return s.w and { s.w } or redis.call('SMEMBERS', K('rt:' .. text(s.i)))
end

local function withdraw(s)
  if s.c then
    local id = s.c
    s.c = nil
    end_claim(id)
  end
end

local AFTER = {
  pause = { W = 'P', A = 'P' },
  resume = { P = 'W' },
  fail = { W = 'E', A = 'E', P = 'E', C = 'E' },
  reset = { E = 'W' },
  finish = { W = 'C', A = 'C', P = 'C', E = 'C' },
  release = { A = 'W' },
}

local function apply(key, step)
  local s = load(key)
  local next = s and AFTER[step][s.s]
  if not next then return false end
  dequeue(key, s)
  s.s = next
  withdraw(s)
  if next ~= 'P' then s.pn, s.pu = nil, nil end
  save(key, s)
  enqueue(key, s)
  return true
end

local function release(id)
  local claim = claim_of(id)
  if not claim or claim.f then return end
  local s = load(claim.t)
  if s and s.c == id then
    apply(claim.t, 'release')
  else
    end_claim(id)
  end
end

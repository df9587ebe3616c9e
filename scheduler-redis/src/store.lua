#!lua
-- The job store: one verb per call, each as a whole or not at all.
--
-- KEYS[1] is the prefix of every key, with one hash tag. ARGV[1] is the verb, ARGV[2] its parameters as JSON, ARGV[3] who
-- asks. Times and counts are texts, since the JSON of Lua keeps 14 digits of a number. A key is `group NUL name`, with an empty group for the
-- default one, so that the order of bytes is the order of keys.
--
-- The layout, each after the prefix:
--   ts  trigger -> state (below)          td  trigger -> description       tp  trigger -> progress
--   jd  job -> description                jm  job -> { x: one run at a time, d: durable, p: keeps data, y: type }
--   jt:<job>   its triggers               ti, ji  all names, in their order
--   gt, gj     groups of triggers and jobs -> how many are in each
--   lane:<lane>  what can be claimed, by time, priority, key       due:<type>  its lanes, by when they are due
--   types      job types that have lanes
--   q:<lane>:<job>, ql:<job>              what waits for a job that allows one run at a time, and in which lanes
--   eg         execution group -> claims of it       ew  groups for which a node waits
--   over       triggers that cancel their own run when they are due
--   busy       job -> its one claim       cl  claim -> record              lapse  claims that were not fired
--   rt:<lineage>  runs of a trigger       stop:<session>  claim -> why it is to stop
--   ss  session -> its node               sl  session -> end of its lease  sn  session -> when it was heard of
--   cs:<session>  its claims              grave:<name>, graves  claims of sessions that are over
--   cal  calendar -> description          cu:<calendar>  who names it
--   pg, pj     paused groups of triggers and jobs -> note                  px  groups excepted from a pause of all
--   pe         pauses that end by themselves          chores  number -> what is not finished yet (see `begin`)
--   meta       count (the last number given out), all (the note of a pause of all), ver (changes when somebody may have
--              to look), birth, schema, lease and cap (see `tick`), lc and lw (the lease clock, and when it was set), run,
--              and hold (see `epoch`)
--   untold     sessions that have not said yet what they know (see `epoch`)
--   ad:<sender>  the first change of a process that is still waited for
--   hist       a stream: runs that are over, as far as they are kept
--   wake       a channel: somebody may have to look
--
-- The state of a trigger: j job, l lane, n next, p priority, s state (W A P C E), g generation, i lineage, r revision,
-- c claim, u runs, o overlap policy, f freed, pn pause note, pu its end, a calendar, x its job allows one run at a time. The
-- lane is `1` and the name of the execution group, or `0`, NUL, and the type of the job.

local P = KEYS[1]
local verb, request, from = ARGV[1], cjson.decode(ARGV[2]), ARGV[3]
-- Whether somebody may have to look, and whether also those of other processes that need not otherwise.
local wake, others, loud = false, false, false
local NONE = cjson.null
local FORMAT = 1
-- What touches many triggers does so for this many in one call.
local PART = 500
-- And claims that are put aside for this many.
local BATCH = 100
-- A chore on which nobody has worked for so many milliseconds is anybody's.
local ABANDONED = 2000
-- How long nothing is handed out at least, in milliseconds, while nodes have not said what they know.
local HOLD = 5000

local function K(name) return P .. name end
local function given(value) return value ~= nil and value ~= NONE end
local function num(value) return given(value) and tonumber(value) or nil end
local function text(number) return string.format('%.0f', number) end
local function session_of(id) return string.match(id, '^(.-)%-') end

-- The server's clock in microseconds, the same for the whole call.
local micros
local function server_micros()
  if not micros then
    local time = redis.call('TIME')
    micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  return micros
end
local function server_millis() return math.floor(server_micros() / 1000) end

-- A number larger than any before, also after the server has come back with older data.
local counter
local function count()
  if not counter then counter = math.max(tonumber(redis.call('HGET', K'meta', 'count') or '0'), server_micros()) end
  counter = counter + 1
  return text(counter)
end
local function member(p, key) return struct.pack('>I4', 2147483647 - p) .. key end
local function key_of(m) return string.sub(m, 5) end
local function add(hash, name, difference)
  if redis.call('HINCRBY', K(hash), name, difference) <= 0 then redis.call('HDEL', K(hash), name) end
end
-- The names after this one, as many as this call may still touch, and where to go on if there are more.
local room = PART
local function part_of(zset, after)
  if room == 0 then return {}, given(after) and after or '' end
  local from = given(after) and ('(' .. after) or '-'
  local keys = redis.call('ZRANGEBYLEX', K(zset), from, '+', 'LIMIT', 0, room)
  room = room - #keys
  return keys, room == 0 and keys[#keys] or nil
end
local function group_of(key) return string.sub(key, 1, string.find(key, '\0', 1, true) - 1) end

local cache = {}
local function load(key)
  if cache[key] == nil then
    local found = redis.call('HGET', K'ts', key)
    cache[key] = found and cjson.decode(found) or false
  end
  return cache[key] or nil
end
local function save(key, s)
  cache[key] = s
  redis.call('HSET', K'ts', key, cjson.encode(s))
end
local function job(key)
  local found = redis.call('HGET', K'jm', key)
  return found and cjson.decode(found) or nil
end
local function is_busy(jk) return redis.call('HGET', K'busy', jk) end

-- Where triggers wait.

local function head(zset)
  local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  if first[1] then return first[1], tonumber(first[2]) end
end

local function lane_key(lane) return K('lane:' .. lane) end
local function type_of(lane) return string.match(lane, '%z(.*)$') end
local function group_in(lane) return string.match(lane, '^([^%z]*)') end

-- When a lane is due is noted once in a call, however much changes in it.
local touched = {}
local function stand(lane, at, m)
  redis.call('ZADD', lane_key(lane), at, m)
  touched[lane] = true
end
local function step_out(lane, m)
  touched[lane] = true
  return redis.call('ZREM', lane_key(lane), m) == 1
end
local function note_lanes()
  for lane in pairs(touched) do
    local job_type = type_of(lane)
    local first, at = head(lane_key(lane))
    if first then
      redis.call('ZADD', K('due:' .. job_type), at, lane)
      redis.call('SADD', K'types', job_type)
    elseif redis.call('ZREM', K('due:' .. job_type), lane) == 1 and redis.call('ZCARD', K('due:' .. job_type)) == 0 then
      redis.call('SREM', K'types', job_type)
    end
  end
  touched = {}
end

local function queue_key(lane, jk) return K('q:' .. lane .. ':' .. jk) end

local function enqueue(key, s)
  if s.s ~= 'W' or not given(s.n) then return end
  local at, m, jk = tonumber(s.n), member(s.p, key), s.j
  if s.u > 0 and s.o == 'cancel_previous' then
    redis.call('ZADD', K'over', at, key)
  elseif s.u > 0 and s.o == 'buffer_one' then
    return
  elseif s.x then
    local queue = queue_key(s.l, jk)
    redis.call('SADD', K('ql:' .. jk), s.l)
    local free = not is_busy(jk)
    local first, score = head(queue)
    redis.call('ZADD', queue, at, m)
    if free and (not first or at < score or (at == score and m < first)) then
      if first then step_out(s.l, first) end
      stand(s.l, at, m)
    end
  else
    stand(s.l, at, m)
  end
end

local function dequeue(key, s)
  if s.s ~= 'W' or not given(s.n) then return end
  local m = member(s.p, key)
  redis.call('ZREM', K'over', key)
  local was_in_lane = step_out(s.l, m)
  local queue = queue_key(s.l, s.j)
  if redis.call('ZREM', queue, m) == 1 then
    local first, score = head(queue)
    if not first then
      redis.call('SREM', K('ql:' .. s.j), s.l)
    elseif was_in_lane then
      stand(s.l, score, first)
    end
  end
end

local function withhold(jk)
  for _, lane in ipairs(redis.call('SMEMBERS', K('ql:' .. jk))) do
    local first = head(queue_key(lane, jk))
    if first then step_out(lane, first) end
  end
end

local function offer(jk)
  for _, lane in ipairs(redis.call('SMEMBERS', K('ql:' .. jk))) do
    local first, score = head(queue_key(lane, jk))
    if first then
      stand(lane, score, first)
      wake = true
    end
  end
end

-- Claims.

local function end_claim(id)
  local found = redis.call('HGET', K'cl', id)
  if not found then return nil end
  local claim = cjson.decode(found)
  redis.call('HDEL', K'cl', id)
  redis.call('ZREM', K'lapse', id)
  redis.call('HDEL', K('stop:' .. session_of(id)), id)
  redis.call('SREM', K('cs:' .. session_of(id)), id)
  if claim.f then redis.call('SREM', K('rt:' .. claim.i), id) end
  if claim.e then
    add('eg', claim.e, -1)
    if redis.call('SREM', K'ew', claim.e) == 1 then wake, loud = true, true end
  end
  if is_busy(claim.j) == id then
    redis.call('HDEL', K'busy', claim.j)
    if job(claim.j) then offer(claim.j) end
  end
  return claim
end

local function withdraw(s)
  if given(s.c) then
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
  local found = redis.call('HGET', K'cl', id)
  if not found then return end
  local claim = cjson.decode(found)
  if claim.f then return end
  local s = load(claim.t)
  if s and s.c == id then
    apply(claim.t, 'release')
  else
    end_claim(id)
  end
end

-- Pauses.

local function note_of_group(hash, group) return redis.call('HGET', K(hash), group) end

local function at_birth(key, jk)
  local group = group_of(key)
  local note = note_of_group('pg', group)
  if not note and redis.call('SISMEMBER', K'px', group) == 0 then note = redis.call('HGET', K'meta', 'all') end
  return note or note_of_group('pj', group_of(jk)) or nil
end

local function ends(what, note)
  local until_ = cjson.decode(note).u
  if given(until_) then redis.call('ZADD', K'pe', until_, what) end
end

local function pause_trigger(key, note)
  local changed = apply(key, 'pause')
  local s = load(key)
  if s.s == 'P' then
    local decoded = cjson.decode(note)
    s.pn, s.pu = note, given(decoded.u) and decoded.u or nil
    save(key, s)
    ends('t' .. s.g .. ':' .. key, note)
  end
  return changed
end

local function ends_later(known, note)
  local a, b = num(known), num(cjson.decode(note).u)
  return a == nil or (b ~= nil and a >= b)
end

-- Triggers and jobs.

local function lane_of(trigger, meta)
  return (given(trigger.e) and ('1' .. trigger.e) or '0') .. '\0' .. meta.y
end

local function take_trigger(key)
  local s = load(key)
  if not s then return nil end
  dequeue(key, s)
  withdraw(s)
  redis.call('HDEL', K'ts', key)
  redis.call('HDEL', K'td', key)
  redis.call('HDEL', K'tp', key)
  redis.call('ZREM', K'ti', key)
  add('gt', group_of(key), -1)
  redis.call('ZREM', K('jt:' .. s.j), key)
  if given(s.a) then redis.call('SREM', K('cu:' .. s.a), key) end
  cache[key] = false
  return s
end

local function drop_job(jk)
  redis.call('HDEL', K'jd', jk)
  redis.call('HDEL', K'jm', jk)
  redis.call('ZREM', K'ji', jk)
  add('gj', group_of(jk), -1)
end

local function drop_if_orphaned(jk)
  local meta = job(jk)
  if not meta or meta.d or redis.call('ZCARD', K('jt:' .. jk)) > 0 then return false end
  drop_job(jk)
  return true
end

local function insert_trigger(t, progress, next, runs)
  local number = count()
  local meta = job(t.j)
  local s = {
    j = t.j, l = lane_of(t, meta), n = given(next) and next or nil, p = t.p, s = 'W', g = number,
    i = runs and runs.i or number, r = number, u = runs and runs.u or 0, o = t.o, f = runs and runs.f or nil,
    a = given(t.a) and t.a or nil, x = meta.x or nil,
  }
  redis.call('HSET', K'td', t.k, t.d)
  redis.call('HSET', K'tp', t.k, progress)
  redis.call('ZADD', K'ti', 0, t.k)
  add('gt', group_of(t.k), 1)
  redis.call('ZADD', K('jt:' .. t.j), 0, t.k)
  if s.a then redis.call('SADD', K('cu:' .. s.a), t.k) end
  save(t.k, s)
  enqueue(t.k, s)
  local note = at_birth(t.k, t.j)
  if note then pause_trigger(t.k, note) end
end

local function update_trigger(t)
  local s = load(t.k)
  dequeue(t.k, s)
  if given(s.a) then redis.call('SREM', K('cu:' .. s.a), t.k) end
  s.r, s.p, s.o, s.a = count(), t.p, t.o, given(t.a) and t.a or nil
  if s.a then redis.call('SADD', K('cu:' .. s.a), t.k) end
  s.l = lane_of(t, job(t.j))
  redis.call('HSET', K'td', t.k, t.d)
  save(t.k, s)
  enqueue(t.k, s)
end

local function put_trigger(row, existing)
  local t = row.t
  local s = load(t.k)
  if s then
    if existing == 'keep' then return end
    if existing == 'update' and s.j == t.j then return update_trigger(t) end
    local runs = { i = s.i, u = s.u, f = s.f }
    take_trigger(t.k)
    return insert_trigger(t, row.p, row.n, runs)
  end
  insert_trigger(t, row.p, row.n, nil)
end

local function matches(pattern, value)
  if value == '' then value = 'DEFAULT' end
  if pattern.k == 'any' then return true end
  if pattern.k == 'is' then return value == pattern.v end
  if pattern.k == 'starts_with' then return string.sub(value, 1, #pattern.v) == pattern.v end
  if pattern.k == 'ends_with' then return pattern.v == '' or string.sub(value, -#pattern.v) == pattern.v end
  return string.find(value, pattern.v, 1, true) ~= nil
end

-- The triggers that are meant, a part of them, and where to go on if there are more.
local function selected(what, after)
  if what.k == 'trigger' then return load(what.v) and { what.v } or {}, nil end
  local found, keys, more = {}, part_of(what.k == 'job' and 'jt:' .. what.v or 'ti', after)
  for _, key in ipairs(keys) do
    local s = load(key)
    local meant = what.k == 'all' or what.k == 'job'
      or (what.k == 'trigger_group' and matches(what.g, group_of(key)))
      or (what.k == 'job_group' and s and matches(what.g, group_of(s.j)))
    if s and meant then found[#found + 1] = key end
  end
  return found, more
end

-- Chores: what touches more triggers than one call may, with how far it has come. Whoever began one goes on with it; should
-- that one be gone, whoever beats next does. Those that could undo one another wait for each other.

local CHORES = {}

local function go_on(number, chore)
  local changed, keys, more = {}, selected(chore.what, chore.after)
  for _, key in ipairs(keys) do
    if CHORES[chore.verb](chore, key, load(key)) then changed[#changed + 1] = key end
  end
  if more then
    chore.after, chore.at = more, text(server_millis())
    redis.call('HSET', K'chores', number, cjson.encode(chore))
  else
    redis.call('HDEL', K'chores', number)
  end
  wake = true
  return { keys = changed, chore = more and number or nil }
end

local function begin(chore) return go_on(count(), chore) end

local function abandoned()
  local all = redis.call('HGETALL', K'chores')
  for n = 1, #all, 2 do
    local chore = cjson.decode(all[n + 1])
    if server_millis() - tonumber(chore.at) > ABANDONED then return all[n], chore end
  end
end

function CHORES.pause(chore, key, s)
  local stays = chore.what.k ~= 'trigger' and s.s == 'P' and ends_later(s.pu, chore.note)
  return not stays and pause_trigger(key, chore.note)
end

function CHORES.resume(chore, key, s)
  local kept = chore.what.k == 'trigger_group' and note_of_group('pj', group_of(s.j))
  return not kept and apply(key, 'resume')
end

-- The place of a trigger depends on its job, which has changed.
function CHORES.move(_, key, s)
  local meta = job(s.j)
  dequeue(key, s)
  s.x, s.l = meta.x or nil, group_in(s.l) .. '\0' .. meta.y
  save(key, s)
  enqueue(key, s)
end

-- Also says which chore is left, if one is.
local function put_job(row, existing)
  local known = job(row.k)
  if known and existing == 'keep' then return nil end
  local detail = row.d
  if known and existing == 'update' and known.p and row.m.p then
    -- What runs have changed stays.
    local data = string.match(redis.call('HGET', K'jd', row.k) or '', '^[^%z]*%z(.*)$')
    if data then detail = string.match(row.d, '^([^%z]*)%z') .. '\0' .. data end
  end
  redis.call('HSET', K'jd', row.k, detail)
  redis.call('HSET', K'jm', row.k, cjson.encode(row.m))
  if not known then
    redis.call('ZADD', K'ji', 0, row.k)
    add('gj', group_of(row.k), 1)
  elseif known.x ~= row.m.x or known.y ~= row.m.y then
    return begin({ verb = 'move', what = { k = 'job', v = row.k } }).chore
  end
end

local function refuse(kind, names) return { error = kind, names = names } end

-- The verbs.

local V = {}

-- What the types of the fixed keys are.
local TYPES = {
  ts = 'hash', td = 'hash', tp = 'hash', jd = 'hash', jm = 'hash', busy = 'hash', cl = 'hash', ss = 'hash',
  sn = 'hash', cal = 'hash', pg = 'hash', pj = 'hash', gt = 'hash', gj = 'hash', eg = 'hash', ew = 'set', meta = 'hash', ti = 'zset', ji = 'zset', over = 'zset',
  lapse = 'zset', pe = 'zset', sl = 'zset', px = 'set', graves = 'set', untold = 'set', types = 'set', chores = 'hash',
  hist = 'stream',
}

-- What an ACL may forbid: each once, on a key of its own.
local PROBES = {
  { 'TYPE', 'h' },
  { 'HSET', 'h', 'a', '1' }, { 'HSETNX', 'h', 'a', '1' }, { 'HGET', 'h', 'a' }, { 'HMGET', 'h', 'a' }, { 'HGETALL', 'h' },
  { 'HKEYS', 'h' }, { 'HSCAN', 'h', '0', 'COUNT', '1' }, { 'HRANDFIELD', 'h', '1' }, { 'HEXISTS', 'h', 'a' }, { 'HINCRBY', 'h', 'a', '1' }, { 'HDEL', 'h', 'b' },
  { 'ZADD', 'z', '1', 'a' }, { 'ZRANGE', 'z', '0', '0' }, { 'ZRANGEBYSCORE', 'z', '0', '1' }, { 'ZSCORE', 'z', 'a' },
  { 'ZCARD', 'z' }, { 'ZCOUNT', 'z', '0', '1' }, { 'ZREM', 'z', 'b' }, { 'SADD', 's', 'a' }, { 'SMEMBERS', 's' },
  { 'SISMEMBER', 's', 'a' }, { 'SRANDMEMBER', 's' }, { 'SCARD', 's' }, { 'SREM', 's', 'b' }, { 'EXISTS', 's' },
  { 'ZRANGEBYLEX', 'z', '-', '+' }, { 'RENAME', 's', 'r' }, { 'SET', 't', '1', 'EX', '1' }, { 'GET', 't' },
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
    redis.call('HSET', K'meta', 'schema', schema, 'birth', count())
  end
  local format, least = string.match(schema, '^(%d+):(%d+)$')
  if not least or tonumber(least) > FORMAT then return refuse('schema', { { tostring(format), tostring(FORMAT) } }) end
  return { birth = redis.call('HGET', K'meta', 'birth'), micros = text(server_micros()) }
end

-- The lease clock: goes forward with the server's, but never by more than `cap` between two looks and never back. So neither
-- a clock that is set nor a server that was away ends all leases at once.
local function tick()
  local known = redis.call('HMGET', K'meta', 'lc', 'lw', 'cap')
  local now = server_millis()
  local passed = now - (tonumber(known[2]) or now)
  local lc = (tonumber(known[1]) or 0) + math.max(0, math.min(passed, tonumber(known[3]) or 0))
  redis.call('HSET', K'meta', 'lc', text(lc), 'lw', text(now))
  return lc
end

-- Which life of which server this is: in another one it may know less than was acknowledged. Nothing is handed out then until
-- all nodes have said what they know, or have had the time for it. Also says whether that lasts.
local function epoch()
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'unknown'
  local known = redis.call('HMGET', K'meta', 'run', 'hold', 'lease')
  local hold = tonumber(known[2] or '0')
  if run ~= known[1] then
    hold = known[1] and server_millis() + math.max(HOLD, (tonumber(known[3]) or 0) / 2) or 0
    redis.call('HSET', K'meta', 'run', run, 'hold', text(hold))
    redis.call('DEL', K'untold')
    for _, session in ipairs(redis.call('ZRANGE', K'sl', 0, -1)) do redis.call('SADD', K'untold', session) end
  end
  return run, server_millis() < hold and redis.call('SCARD', K'untold') > 0
end

function V.attach()
  if not redis.call('HGET', K'meta', 'birth') then return { gone = true } end
  -- All nodes go by one lease: that of the first.
  if redis.call('ZCARD', K'sl') == 0 then redis.call('HSET', K'meta', 'lease', request.lease, 'cap', request.cap) end
  local lc = tick()
  local lease = redis.call('HGET', K'meta', 'lease')
  redis.call('HSET', K'ss', request.session, cjson.encode({ t = request.types, n = request.name, v = request.version }))
  redis.call('HSET', K'sn', request.session, text(server_millis()))
  local run = epoch()
  redis.call('ZADD', K'sl', text(lc + tonumber(lease)), request.session)
  -- Its registration was forgotten, and what it has in hand may be too.
  if request.tells then redis.call('SADD', K'untold', request.session) end
  return { lease = lease, epoch = run }
end

function V.beat()
  local birth = redis.call('HGET', K'meta', 'birth')
  if birth ~= request.birth then return { gone = true } end
  -- None if the server has come back with what was there before the first node.
  local lc, lease = tick(), tonumber(redis.call('HGET', K'meta', 'lease') or nil)
  local alive = {}
  for n, session in ipairs(request.sessions) do
    alive[n] = lease ~= nil and redis.call('ZSCORE', K'sl', session) ~= false
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
    lease = lease and text(lease) or nil, chores = abandoned() ~= nil,
    ver = redis.call('HGET', K'meta', 'ver') or '0',
  }
end

-- The end of a session: from now on its claims are those of nobody.
local function entomb(session)
  redis.call('ZREM', K'sl', session)
  redis.call('HDEL', K'ss', session)
  redis.call('HDEL', K'sn', session)
  redis.call('DEL', K('stop:' .. session))
  redis.call('SREM', K'untold', session)
  local claims = K('cs:' .. session)
  if redis.call('EXISTS', claims) == 1 then
    local name = session .. '@' .. count()
    redis.call('RENAME', claims, K('grave:' .. name))
    redis.call('SADD', K'graves', name)
  end
end

function V.detach()
  entomb(request.session)
  return {}
end

local function lost_run(id, claim)
  local s, meta = load(claim.t), job(claim.j)
  return {
    c = id, j = claim.j, t = claim.t, n = claim.n, s = claim.s, r = meta and meta.r or false, o = claim.o,
    d = s and s.i == claim.i and redis.call('HGET', K'td', claim.t) or nil,
  }
end

-- Ends sessions whose lease is over, gives back what they had not fired, and says what they had: a part, until `done`.
function V.lost()
  local lc = redis.call('HGET', K'meta', 'lc') or '0'
  for _, session in ipairs(redis.call('ZRANGEBYSCORE', K'sl', '-inf', lc, 'LIMIT', 0, 4)) do entomb(session) end
  local name = redis.call('SRANDMEMBER', K'graves')
  if not name then return { done = true } end
  local grave, rows = K('grave:' .. name), {}
  for _, id in ipairs(redis.call('SRANDMEMBER', grave, 100)) do
    local found = redis.call('HGET', K'cl', id)
    local claim = found and cjson.decode(found)
    if claim and claim.f then
      rows[#rows + 1] = lost_run(id, claim)
    else
      if claim then release(id) end
      redis.call('SREM', grave, id)
    end
  end
  if redis.call('SCARD', grave) == 0 then redis.call('SREM', K'graves', name) end
  wake = true
  return { done = false, rows = rows }
end

-- The runs of a living session of which its node knows nothing.
function V.unknown()
  local known, rows = {}, {}
  for _, id in ipairs(request.known) do known[id] = true end
  for _, id in ipairs(redis.call('SMEMBERS', K('cs:' .. request.session))) do
    local found = not known[id] and redis.call('HGET', K'cl', id)
    local claim = found and cjson.decode(found)
    if claim and claim.f then
      rows[#rows + 1] = lost_run(id, claim)
    elseif claim then
      release(id)
    end
    if #rows == 100 then break end
  end
  wake = true
  return { rows = rows }
end

function V.nodes()
  local rows, all, waiting = {}, redis.call('HGETALL', K'ss'), {}
  for _, id in ipairs(redis.call('ZRANGE', K'lapse', 0, 9999)) do
    waiting[session_of(id)] = (waiting[session_of(id)] or 0) + 1
  end
  for n = 1, #all, 2 do
    local runs = redis.call('SCARD', K('cs:' .. all[n])) - (waiting[all[n]] or 0)
    local heard = tonumber(redis.call('HGET', K'sn', all[n]) or '0')
    rows[#rows + 1] = { s = all[n], n = all[n + 1], r = math.max(0, runs), q = text(math.max(0, server_millis() - heard)) }
  end
  return rows
end

local function settle(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K'lapse', '-inf', now, 'LIMIT', 0, BATCH)) do release(id) end
  for _, what in ipairs(redis.call('ZRANGEBYSCORE', K'pe', '-inf', now, 'LIMIT', 0, BATCH)) do
    local score = redis.call('ZSCORE', K'pe', what)
    redis.call('ZREM', K'pe', what)
    local kind = string.sub(what, 1, 1)
    local function over(note)
      local until_ = note and num(cjson.decode(note).u)
      return until_ and until_ <= tonumber(score)
    end
    if kind == 't' then
      local g, key = string.match(what, '^t(%d+):(.*)$')
      local s = load(key)
      if s and s.s == 'P' and s.g == g and given(s.pu) and tonumber(s.pu) <= tonumber(now) then
        local note = at_birth(key, s.j)
        local ended = note and num(cjson.decode(note).u)
        if note and not (ended and ended <= tonumber(now)) then pause_trigger(key, note) else apply(key, 'resume') end
      end
    elseif kind == 'g' then
      local group = string.sub(what, 2)
      if over(note_of_group('pg', group)) then redis.call('HDEL', K'pg', group) end
    elseif kind == 'j' then
      local group = string.sub(what, 2)
      if over(note_of_group('pj', group)) then redis.call('HDEL', K'pj', group) end
    elseif over(redis.call('HGET', K'meta', 'all')) then
      redis.call('HDEL', K'meta', 'all')
    end
  end
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', K'over', '-inf', now, 'LIMIT', 0, BATCH)) do
    redis.call('ZREM', K'over', key)
    for _, id in ipairs(redis.call('SMEMBERS', K('rt:' .. load(key).i))) do
      if redis.call('HSETNX', K('stop:' .. session_of(id)), id, 'superseded') == 1 then others = true end
    end
  end
end

-- Acquiring. A node takes from the lanes that are open to it, the earliest first. Each is a table of its name, its execution
-- group, when it is due, and its first member, from `since` on if that is given.

local function look(lane, since)
  if since then
    local first = redis.call('ZRANGEBYSCORE', lane_key(lane.name), since, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    lane.m, lane.at = first[1], tonumber(first[2])
  else
    lane.m, lane.at = head(lane_key(lane.name))
  end
end

local function look_at_all(lanes, since)
  for _, lane in ipairs(lanes) do look(lane, since) end
end

-- How many of a group the node may take: what is left on it, and on all nodes together. None for any number.
local function left_of(group)
  if group == '0' then return num(request.ungrouped) end
  local name = string.sub(group, 2)
  local here, on_all = num(request.named[name]) or num(request.others), num(request.shared[name])
  if not on_all then return here end
  local free = math.max(0, on_all - tonumber(redis.call('HGET', K'eg', group) or '0'))
  if free == 0 then redis.call('SADD', K'ew', group) end
  return math.min(here or free, free)
end

-- The types that a node can run and that have something.
local function types_of(session)
  local able = given(session.t) and {}
  for _, name in ipairs(able and cjson.decode(session.t) or {}) do able[name] = true end
  local types = {}
  for _, name in ipairs(redis.call('SMEMBERS', K'types')) do
    if not able or able[name] then types[#types + 1] = name end
  end
  return types
end

-- The lanes that are open, the earliest of each type: more than one call can take from, or all. Also adds to what is `left`.
local function open_lanes(types, left)
  local lanes = {}
  for _, job_type in ipairs(types) do
    local from, open, found = 0, 0, nil
    repeat
      found = redis.call('ZRANGE', K('due:' .. job_type), from, from + BATCH, 'WITHSCORES')
      for n = 1, #found, 2 do
        local group = group_in(found[n])
        if left[group] == nil then left[group] = left_of(group) or math.huge end
        if left[group] > 0 then
          open = open + 1
          lanes[#lanes + 1] = { name = found[n], group = group, at = tonumber(found[n + 1]) }
        end
      end
      from = from + BATCH + 1
    until open > BATCH or #found < 2 * (BATCH + 1)
  end
  return lanes
end

local function earliest(lanes, left, limit)
  local best
  for _, lane in ipairs(lanes) do
    if lane.m and lane.at <= limit and left[lane.group] > 0
      and (not best or lane.at < best.at or (lane.at == best.at and lane.m < best.m)) then best = lane end
  end
  return best
end

-- Claims the first of a lane. Also says whether its job keeps others waiting from now on.
local function claim_first(lane, node)
  local key = key_of(lane.m)
  local s = load(key)
  step_out(lane.name, lane.m)
  if not (s and redis.call('HEXISTS', K'jm', s.j) == 1) then
    -- Somebody has removed a record by hand.
    if s then
      s.s = 'E'
      save(key, s)
    end
    return nil, false
  end
  local id = request.session .. '-' .. count()
  if s.x then
    redis.call('ZREM', queue_key(s.l, s.j), lane.m)
    if not head(queue_key(s.l, s.j)) then redis.call('SREM', K('ql:' .. s.j), s.l) end
    withhold(s.j)
    redis.call('HSET', K'busy', s.j, id)
  end
  s.s, s.c = 'A', id
  save(key, s)
  local group = lane.group ~= '0' and lane.group or nil
  redis.call('HSET', K'cl', id, cjson.encode({
    t = key, g = s.g, i = s.i, j = s.j, s = request.now, n = text(lane.at), e = group, o = node,
  }))
  if group then add('eg', group, 1) end
  redis.call('SADD', K('cs:' .. request.session), id)
  redis.call('ZADD', K'lapse', math.max(lane.at, tonumber(request.now)) + tonumber(request.lapse), id)
  return {
    c = id, d = redis.call('HGET', K'td', key), p = redis.call('HGET', K'tp', key), f = s.f,
    a = given(s.a) and redis.call('HGET', K'cal', s.a) or nil,
  }, s.x
end

-- What is due, up to the limit of the request. Once late triggers have had their share, only what is due from then on, as long
-- as there is something.
local function take_due(lanes, left, node)
  local late, most_late, since = num(request.late), num(request.most_late), nil
  local triggers, limit, due = {}, tonumber(request['until']), {}
  for _, lane in ipairs(lanes) do
    if lane.at <= limit then due[#due + 1] = lane end
  end
  look_at_all(due)
  while #triggers < request.max do
    local lane = earliest(due, left, limit)
    if not lane then
      if not since then break end
      late, since = nil, nil
      look_at_all(due)
    elseif late and lane.at < late and most_late == 0 then
      since = text(late)
      look_at_all(due, since)
    else
      if late and lane.at < late then most_late = most_late - 1 end
      local claimed, withheld = claim_first(lane, node)
      if claimed then
        left[lane.group] = left[lane.group] - 1
        if left[lane.group] == 0 and lane.group ~= '0' then redis.call('SADD', K'ew', lane.group) end
      end
      triggers[#triggers + 1] = claimed
      if withheld then look_at_all(due, since) else look(lane, since) end
    end
  end
  return triggers
end

-- When to ask again: what is due next, lapses, is to be stopped, or is paused no longer.
local function next_look(types, left)
  local due
  local function consider(time) if time and (not due or time < due) then due = time end end
  note_lanes()
  for _, lane in ipairs(open_lanes(types, left)) do consider(lane.at) end
  for _, zset in ipairs({ 'lapse', 'over', 'pe' }) do
    local _, at = head(K(zset))
    consider(at)
  end
  return due and text(due) or nil
end

function V.acquire()
  if not redis.call('ZSCORE', K'sl', request.session) then return { lost = true } end
  local number, held = epoch()
  if held then return { t = {}, s = {}, n = text(tonumber(request.now) + 100), e = number } end
  settle(request.now)
  local session = cjson.decode(redis.call('HGET', K'ss', request.session))
  note_lanes()
  local types, left = types_of(session), {}
  local triggers = take_due(open_lanes(types, left), left, session.n)
  local stop, all = {}, redis.call('HGETALL', K('stop:' .. request.session))
  for n = 1, #all, 2 do stop[#stop + 1] = { all[n], all[n + 1] } end
  return { t = triggers, n = next_look(types, left), s = stop, e = number }
end

-- What cannot be read is put aside, so that it does not come up again and again.
function V.spoil()
  for _, id in ipairs(request.claims) do
    local found = redis.call('HGET', K'cl', id)
    if found then apply(cjson.decode(found).t, 'fail') end
  end
  return {}
end

function V.fire()
  local results = {}
  for n, f in ipairs(request.firings) do
    -- One that was buried is that of nobody, whatever has become of its session.
    local owned = redis.call('SISMEMBER', K('cs:' .. session_of(f.c)), f.c) == 1
    local found = owned and redis.call('HGET', K'cl', f.c)
    local claim = found and cjson.decode(found)
    if not claim then
      results[n] = { r = 'stale' }
    elseif claim.f then
      local detail = redis.call('HGET', K'jd', claim.j)
      results[n] = detail and { r = 'run', d = detail } or { r = 'stale' }
    else
      local key = claim.t
      local s = load(key)
      s.s, s.c, s.f, s.n = 'W', nil, nil, given(f.n) and f.n or nil
      redis.call('HSET', K'tp', key, f.p)
      redis.call('ZREM', K'lapse', f.c)
      local overlaps = s.u > 0 and s.o == 'skip'
      if f.run and not overlaps then
        claim.f, claim.s = true, request.now
        s.u = s.u + 1
        redis.call('HSET', K'cl', f.c, cjson.encode(claim))
        redis.call('SADD', K('rt:' .. claim.i), f.c)
        save(key, s)
        enqueue(key, s)
        results[n] = { r = 'run', d = redis.call('HGET', K'jd', claim.j) }
      else
        if not s.n then s.s = 'C' end
        save(key, s)
        end_claim(f.c)
        enqueue(key, s)
        results[n] = { r = f.run and 'overlapped' or 'advanced' }
      end
    end
  end
  return results
end

-- Of a run that ends its whole job nothing else is done until all triggers have been told, a part in each call.
local OF_JOB = { finish_job = 'finish', fail_job = 'fail' }
local function tell_job(c, jk)
  local keys, more = part_of('jt:' .. jk, c.after)
  for _, key in ipairs(keys) do apply(key, OF_JOB[c.i]) end
  return more
end

local function complete(c)
  local found = redis.call('HGET', K'cl', c.c)
  local claim = found and cjson.decode(found)
  if not claim or not claim.f then return { gone = true } end
  local more = OF_JOB[c.i] and tell_job(c, claim.j)
  if more then return { more = more } end
  end_claim(c.c)
  if given(c.record) then redis.call('XADD', K'hist', 'MAXLEN', '~', request.keep, '*', 'r', c.record) end
  local meta = job(claim.j)
  if given(c.data) and meta and meta.p then
    -- Somebody may have destroyed the record meanwhile.
    local bare = string.match(redis.call('HGET', K'jd', claim.j) or '', '^([^%z]*)%z')
    if bare then redis.call('HSET', K'jd', claim.j, bare .. '\0' .. c.data) end
  end
  local s = load(claim.t)
  local current = s and s.g == claim.g
  if s and s.i == claim.i then
    dequeue(claim.t, s)
    s.u = math.max(s.u - 1, 0)
    if s.o == 'buffer_one' or s.o == 'cancel_previous' then
      if given(s.n) and tonumber(s.n) <= tonumber(request.now) then s.f = request.now end
      wake = true
    end
    save(claim.t, s)
    enqueue(claim.t, s)
  end
  local removed, job_removed = false, false
  if current and c.i == 'finish_trigger' then
    apply(claim.t, 'finish')
  elseif current and c.i == 'fail_trigger' then
    apply(claim.t, 'fail')
  elseif current and c.i == 'remove_trigger' and not given(s.n) then
    take_trigger(claim.t)
    removed, job_removed = true, drop_if_orphaned(claim.j)
  end
  return { t = removed, j = job_removed }
end

function V.complete()
  local results = {}
  local number = epoch()
  -- What is unknown here may have been forgotten: the node tells it first.
  if number ~= request.epoch then return { e = number } end
  for n, c in ipairs(request.executions) do results[n] = complete(c) end
  return { e = number, r = results }
end

-- Ends runs whose node is gone, and puts in place what repeats them.
function V.bury()
  for _, c in ipairs(request.executions) do
    local row, found = c.again, redis.call('HGET', K'cl', c.c)
    if given(row) and found and cjson.decode(found).f and job(row.t.j) and not load(row.t.k) then
      insert_trigger(row.t, row.p, row.n, nil)
    end
    complete(c)
  end
  wake = true
  return {}
end

-- A run that a node knows, and a server that came back with older data may not: fires it again as before.
local function reassert(f)
  local found = redis.call('HGET', K'cl', f.c)
  local session = session_of(f.c)
  local s = load(f.k)
  local holder = s and is_busy(s.j)
  local held = holder and holder ~= f.c and cjson.decode(redis.call('HGET', K'cl', holder) or '{}').f
  if found and cjson.decode(found).f then
    return redis.call('SISMEMBER', K('cs:' .. session), f.c) == 1 and 'known' or 'overtaken'
  end
  -- The end of the other may still be told.
  if held and redis.call('SISMEMBER', K'untold', session_of(holder)) == 1 then return 'wait' end
  local as_before = s and job(s.j) and (s.s == 'W' or s.s == 'A') and redis.call('HGET', K'tp', f.k) == f.from
  if not as_before or held or redis.call('SISMEMBER', K'untold', session) == 0 then return 'overtaken' end
  if holder and holder ~= f.c and holder ~= s.c then release(holder) end
  dequeue(f.k, s)
  s.s = 'W'
  withdraw(s)
  s.u, s.n = s.u + 1, given(f.n) and f.n or nil
  local group = group_in(s.l)
  if group == '0' then group = nil end
  redis.call('HSET', K'tp', f.k, f.p)
  redis.call('HSET', K'cl', f.c, cjson.encode({
    t = f.k, g = s.g, i = s.i, j = s.j, s = f.s, n = f.d, f = true, e = group,
  }))
  if group then add('eg', group, 1) end
  redis.call('SADD', K('cs:' .. session), f.c)
  redis.call('SADD', K('rt:' .. s.i), f.c)
  if s.x then
    withhold(s.j)
    redis.call('HSET', K'busy', s.j, f.c)
  end
  save(f.k, s)
  enqueue(f.k, s)
  return 'again'
end

-- Ends again what has ended, and fires again what is running. Together, so that nobody takes in between what the one frees for
-- the other.
function V.tell()
  local flights, ended = {}, {}
  for n, c in ipairs(request.executions) do
    if given(c.flight) then reassert(c.flight) end
    ended[n] = complete(c).more or NONE
  end
  for n, f in ipairs(request.flights) do flights[n] = reassert(f) end
  return { flights = flights, ended = ended }
end

function V.told()
  if epoch() == request.epoch then redis.call('SREM', K'untold', request.session) end
  wake = true
  return {}
end

-- The runs that are meant, a part of them, and where to go on if there are more.
local function fired(what)
  local ids, all, more = {}, nil, nil
  if what.k == 'one' then
    all = { what.v, redis.call('HGET', K'cl', what.v) or nil }
  else
    local found = redis.call('HSCAN', K'cl', given(request.after) and request.after or '0', 'COUNT', PART)
    all, more = found[2], found[1] ~= '0' and found[1] or nil
  end
  for n = 1, #all - 1, 2 do
    local claim = cjson.decode(all[n + 1])
    local meant = what.k == 'all' or what.k == 'one' or (what.k == 'job' and claim.j == what.v)
      or (what.k == 'trigger' and claim.t == what.v)
    if claim.f and meant then ids[#ids + 1] = { all[n], claim.j, claim.t, claim.s } end
  end
  return { rows = ids, after = more }
end

function V.cancel()
  local meant = fired(request.what)
  for _, row in ipairs(meant.rows) do redis.call('HSETNX', K('stop:' .. session_of(row[1])), row[1], 'requested') end
  wake = true
  return meant
end

function V.executions() return fired(request.what) end

function V.release()
  for _, id in ipairs(request.claims) do release(id) end
  wake = true
  return {}
end

function V.put()
  local taken, seen, new = {}, {}, {}
  -- Jobs of other parts.
  for _, jk in ipairs(given(request.known) and request.known or {}) do new[jk] = true end
  for _, row in ipairs(request.jobs) do
    new[row.k] = true
    if request.ej == 'refuse' and job(row.k) then taken[#taken + 1] = { 'job', row.k } end
  end
  for _, row in ipairs(request.triggers) do
    if request.et == 'refuse' and load(row.t.k) then taken[#taken + 1] = { 'trigger', row.t.k } end
    if seen[row.t.k] then return refuse('twice', { { 'trigger', row.t.k } }) end
    seen[row.t.k] = true
  end
  if #taken > 0 then return refuse('taken', taken) end
  for _, row in ipairs(request.triggers) do
    local t = row.t
    if not new[t.j] and not job(t.j) then return refuse('job', { { t.k, t.j } }) end
    if given(t.a) and redis.call('HEXISTS', K'cal', t.a) == 0 then return refuse('calendar', { { t.k, t.a } }) end
  end
  -- Of several parts none takes effect if one cannot.
  if request.check then return {} end
  local chores = {}
  for _, row in ipairs(request.jobs) do chores[#chores + 1] = put_job(row, request.ej) end
  for _, row in ipairs(request.triggers) do put_trigger(row, request.et) end
  wake = true
  return { chores = chores }
end

function V.reschedule()
  local s, t = load(request.old), request.t
  if not s or (given(request.r) and s.r ~= request.r) then return { done = false } end
  if s.j ~= t.j then return refuse('other', { { request.old, s.j } }) end
  if t.k ~= request.old and load(t.k) then return refuse('taken', { { 'trigger', t.k } }) end
  if given(t.a) and redis.call('HEXISTS', K'cal', t.a) == 0 then return refuse('calendar', { { t.k, t.a } }) end
  if not given(request.p) and t.k == request.old then
    update_trigger(t)
  else
    local progress, next = request.p, request.n
    if not given(progress) then progress, next = redis.call('HGET', K'tp', request.old), s.n end
    local runs = t.k == request.old and { i = s.i, u = s.u, f = s.f } or nil
    take_trigger(request.old)
    insert_trigger(t, progress, next, runs)
  end
  wake = true
  return { done = true }
end

function V.adjust()
  local results = {}
  for n, a in ipairs(request.adjustments) do
    local s = load(a.k)
    if not s or redis.call('HGET', K'tp', a.k) ~= a.from then
      results[n] = false
    else
      dequeue(a.k, s)
      local exhausted = not given(a.n)
      if s.s == 'A' or s.s == 'W' then s.s = exhausted and 'C' or 'W' end
      withdraw(s)
      s.n = not exhausted and a.n or nil
      redis.call('HSET', K'tp', a.k, a.to)
      save(a.k, s)
      enqueue(a.k, s)
      results[n] = true
    end
  end
  wake = true
  return results
end

function V.remove_triggers()
  local results = {}
  for n, key in ipairs(request.keys) do
    local s = take_trigger(key)
    results[n] = { f = s ~= nil, j = s ~= nil and drop_if_orphaned(s.j) }
  end
  return results
end

-- As many of the first ones as fit into one call.
function V.remove_jobs()
  local results, left = {}, PART
  for n, jk in ipairs(request.keys) do
    local found = job(jk) ~= nil
    local keys = found and redis.call('ZRANGE', K('jt:' .. jk), 0, left - 1) or {}
    for _, key in ipairs(keys) do
      if not take_trigger(key) then redis.call('ZREM', K('jt:' .. jk), key) end
    end
    left = left - #keys - 1
    if left <= 0 then break end
    if found then drop_job(jk) end
    results[n] = found
  end
  return { results = results }
end

function V.clear()
  local keys, more = part_of('ti')
  for _, key in ipairs(keys) do
    local s = take_trigger(key)
    redis.call('DEL', K('rt:' .. s.i))
  end
  if more then return { more = true } end
  keys, more = part_of('ji')
  for _, jk in ipairs(keys) do drop_job(jk) end
  if more then return { more = true } end
  for _, id in ipairs(redis.call('HRANDFIELD', K'cl', BATCH)) do end_claim(id) end
  if redis.call('EXISTS', K'cl') == 1 then return { more = true } end
  for _, name in ipairs({ 'cal', 'pg', 'pj', 'px', 'pe', 'busy', 'lapse', 'over', 'gt', 'gj', 'eg', 'ew', 'hist', 'chores' }) do
    redis.call('DEL', K(name))
  end
  redis.call('HDEL', K'meta', 'all')
  return {}
end

local function named_groups(pattern, hash)
  if pattern.k == 'is' then return { pattern.v == 'DEFAULT' and '' or pattern.v } end
  local found = {}
  for _, group in ipairs(redis.call('HKEYS', K(hash))) do
    if matches(pattern, group) then found[#found + 1] = group end
  end
  return found
end

local function remember_groups(what, note)
  if what.k == 'trigger_group' or what.k == 'all' then
    local groups = what.k == 'all' and redis.call('HKEYS', K'gt') or named_groups(what.g, 'gt')
    for _, group in ipairs(groups) do
      redis.call('HSET', K'pg', group, note)
      ends('g' .. group, note)
    end
  end
  if what.k == 'job_group' then
    for _, group in ipairs(named_groups(what.g, 'gj')) do
      redis.call('HSET', K'pj', group, note)
      ends('j' .. group, note)
    end
  end
  if what.k == 'all' then
    redis.call('HSET', K'meta', 'all', note)
    redis.call('DEL', K'px')
    ends('a', note)
  end
end

-- Whether another chore is to be finished first.
local function must_wait(what) return what.k ~= 'trigger' and redis.call('EXISTS', K'chores') == 1 end

function V.pause()
  if must_wait(request.what) then return { wait = true } end
  remember_groups(request.what, request.note)
  return begin({ verb = 'pause', what = request.what, note = request.note })
end

local function forget_groups(what)
  local function forget(hash, pattern)
    for _, group in ipairs(redis.call('HKEYS', K(hash))) do
      if matches(pattern, group) then redis.call('HDEL', K(hash), group) end
    end
  end
  if what.k == 'trigger_group' then
    forget('pg', what.g)
    if what.g.k == 'any' then
      redis.call('HDEL', K'meta', 'all')
    else
      for _, group in ipairs(named_groups(what.g, 'gt')) do redis.call('SADD', K'px', group) end
    end
  elseif what.k == 'job_group' then
    forget('pj', what.g)
  elseif what.k == 'all' then
    redis.call('DEL', K'pg', K'pj', K'px', K'pe')
    redis.call('HDEL', K'meta', 'all')
  end
end

function V.resume()
  if must_wait(request.what) then return { wait = true } end
  forget_groups(request.what)
  return begin({ verb = 'resume', what = request.what })
end

-- Goes on with a chore: the one of this number, or one that is anybody's.
function V.chore()
  local number, chore = request.number, nil
  if given(number) then
    local found = redis.call('HGET', K'chores', number)
    chore = found and cjson.decode(found)
  else
    number, chore = abandoned()
  end
  return chore and go_on(number, chore) or { keys = {} }
end

function V.reset()
  local results = {}
  for n, key in ipairs(request.keys) do
    results[n] = load(key) ~= nil and apply(key, 'reset')
    local note = results[n] and at_birth(key, load(key).j)
    if note then pause_trigger(key, note) end
  end
  wake = true
  return results
end

function V.put_calendar()
  if not request.replace and redis.call('HEXISTS', K'cal', request.name) == 1 then return refuse('calendar', {}) end
  redis.call('HSET', K'cal', request.name, request.calendar)
  return {}
end

function V.remove_calendar()
  local user = redis.call('SRANDMEMBER', K('cu:' .. request.name))
  if user then return refuse('used', { { user } }) end
  return { done = redis.call('HDEL', K'cal', request.name) == 1 }
end

function V.calendars()
  local rows, all = {}, redis.call('HGETALL', K'cal')
  for n = 1, #all, 2 do rows[#rows + 1] = { all[n], all[n + 1] } end
  return rows
end

function V.jobs()
  local rows, keys, more = {}, request.keys, nil
  if #keys == 0 then keys, more = part_of('ji', request.after) end
  for _, jk in ipairs(keys) do
    local found = redis.call('HGET', K'jd', jk)
    if found then rows[#rows + 1] = { jk, found } end
  end
  return { rows = rows, after = more }
end

function V.triggers()
  local rows, keys, more = {}, request.keys, nil
  if #keys == 0 then keys, more = part_of(given(request.job) and 'jt:' .. request.job or 'ti', request.after) end
  for _, key in ipairs(keys) do
    local s = load(key)
    if s then
      local holder = is_busy(s.j)
      local claim = holder and redis.call('HGET', K'cl', holder)
      rows[#rows + 1] = {
        k = key, d = redis.call('HGET', K'td', key), p = redis.call('HGET', K'tp', key), s = s.s, u = s.u,
        b = claim and cjson.decode(claim).f or false, n = s.n, pn = s.pn, r = s.r,
      }
    end
  end
  return { rows = rows, after = more }
end

function V.history()
  local rows, last = {}, given(request.after) and ('(' .. request.after) or '+'
  local found = redis.call('XREVRANGE', K'hist', last, '-', 'COUNT', PART)
  for n, entry in ipairs(found) do rows[n] = entry[2][2] end
  return { rows = rows, after = #found == PART and found[PART][1] or nil }
end

function V.groups()
  local jobs = request.kind == 'jobs'
  local names, members, known = {}, {}, redis.call('HGETALL', K(jobs and 'gj' or 'gt'))
  for n = 1, #known, 2 do
    names[#names + 1] = known[n]
    members[known[n]] = tonumber(known[n + 1])
  end
  local hash = jobs and 'pj' or 'pg'
  for _, group in ipairs(redis.call('HKEYS', K(hash))) do
    if not members[group] then
      names[#names + 1] = group
      members[group] = 0
    end
  end
  local all = not jobs and redis.call('HGET', K'meta', 'all') or nil
  local rows = {}
  for n, group in ipairs(names) do
    local note = note_of_group(hash, group)
    if not note and all and redis.call('SISMEMBER', K'px', group) == 0 then note = all end
    rows[n] = { group, members[group], note or nil }
  end
  return rows
end

-- What is not as it must be, after somebody has changed keys by hand; mended if that is wished. By parts, and the claims
-- with the last one.
local function check_place(key, s, say)
  local m, jk = member(s.p, key), s.j
  local meta, waits = job(jk), s.s == 'W' and given(s.n)
  local in_lane, in_queue = redis.call('ZSCORE', lane_key(s.l), m), redis.call('ZSCORE', queue_key(s.l, jk), m)
  local in_over = redis.call('ZSCORE', K'over', key)
  local kept = s.u > 0 and (s.o == 'buffer_one' or s.o == 'cancel_previous')
  if not meta then
    say('its job is not there')
  elseif not waits or kept then
    if in_lane or in_queue then say('it stands among what waits, and does not wait') end
  elseif s.x and not in_queue then
    say('it waits, and stands in no queue')
  elseif s.x and not in_lane and not is_busy(jk) and head(queue_key(s.l, jk)) == m then
    say('it is the next of its job, and stands in no lane')
  elseif not s.x and not in_lane then
    say('it waits, and stands in no lane')
  end
  if in_over and not (waits and kept) then say('it stands among what overlaps, and does not') end
end

local function check_trigger(key, found)
  local s, wrong = load(key), false
  local function say(what)
    wrong = true
    found[#found + 1] = { 'trigger', key, what }
  end
  if not s then
    say('it has a name and no record')
    if request.repair then
      redis.call('ZREM', K'ti', key)
      redis.call('HDEL', K'td', key)
      redis.call('HDEL', K'tp', key)
      add('gt', group_of(key), -1)
    end
    return
  end
  local claim = given(s.c) and redis.call('HGET', K'cl', s.c)
  if s.s == 'A' and not (claim and not cjson.decode(claim).f) then say('it is claimed, and by nobody') end
  check_place(key, s, say)
  if wrong and request.repair and job(s.j) then
    step_out(s.l, member(s.p, key))
    redis.call('ZREM', queue_key(s.l, s.j), member(s.p, key))
    redis.call('ZREM', K'over', key)
    if s.s == 'A' then s.s, s.c = 'W', nil end
    save(key, s)
    enqueue(key, s)
    wake = true
  end
end

local function check_claim(id, record, found)
  local claim, session = cjson.decode(record), session_of(id)
  local owned = redis.call('ZSCORE', K'sl', session) and redis.call('SISMEMBER', K('cs:' .. session), id) == 1
  for _, name in ipairs(not owned and redis.call('SMEMBERS', K'graves') or {}) do
    owned = owned or redis.call('SISMEMBER', K('grave:' .. name), id) == 1
  end
  if owned then return end
  found[#found + 1] = { 'claim', claim.t, id .. ' belongs to nobody' }
  if request.repair then
    redis.call('SADD', K'grave:audit', id)
    redis.call('SADD', K'graves', 'audit')
  end
end

local function check_busy(jk, id, found)
  if redis.call('HEXISTS', K'cl', id) == 1 then return end
  found[#found + 1] = { 'job', jk, 'it is held by ' .. id .. ', which is not there' }
  if request.repair then
    redis.call('HDEL', K'busy', jk)
    offer(jk)
  end
end

local function check_job(jk, found)
  local known = redis.call('HGET', K'jd', jk) and redis.call('HGET', K'jm', jk)
  if not known then found[#found + 1] = { 'job', jk, 'it has a name and no record' } end
  for _, key in ipairs(redis.call('ZRANGE', K('jt:' .. jk), 0, PART)) do
    if not load(key) then
      found[#found + 1] = { 'job', jk, 'it has a trigger that is not there' }
      if request.repair then redis.call('ZREM', K('jt:' .. jk), key) end
    end
  end
end

-- Of each kind: where the names are, and whether they are in order.
local AUDITED = {
  triggers = { 'ti', check_trigger, true }, jobs = { 'ji', check_job, true },
  claims = { 'cl', check_claim }, busy = { 'busy', check_busy },
}

function V.audit()
  local found, names, check, ordered = {}, unpack(AUDITED[request.of])
  if ordered then
    local keys, more = part_of(names, request.after)
    for _, key in ipairs(keys) do check(key, found) end
    return { found = found, after = more }
  end
  local part = redis.call('HSCAN', K(names), given(request.after) and request.after or '0', 'COUNT', PART)
  for n = 1, #part[2], 2 do check(part[2][n], part[2][n + 1], found) end
  return { found = found, after = part[1] ~= '0' and part[1] or nil }
end

-- A call that its caller has given up must not take effect after a later one: each says which ones are still waited for.
local function is_late()
  if not given(request.seq) then return false end
  local key = K('ad:' .. from)
  local floor = tonumber(redis.call('GET', key) or '0')
  if tonumber(request.seq) < floor then return true end
  if tonumber(request.floor) > floor then redis.call('SET', key, request.floor, 'EX', 3600) end
  return false
end

local answer = is_late() and refuse('late', {}) or V[verb]()
note_lanes()
if counter then redis.call('HSET', K'meta', 'count', text(counter)) end
if wake or others then
  redis.call('HINCRBY', K'meta', 'ver', 1)
  if not request.quiet or loud then redis.call('PUBLISH', K'wake', from) end
end
if answer[1] == nil and next(answer) == nil then answer = NONE end
return { cjson.encode(answer), wake and 1 or 0, others and 1 or 0 }

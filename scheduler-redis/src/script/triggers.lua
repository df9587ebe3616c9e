
-- Pauses.

-- That of all, false if there is none.
local function pause_of_all() return get('meta', 'all') end

local function at_birth(key, jk)
  local group = group_of(key)
  local note = get('pg', group)
  if not note and pause_of_all() and redis.call('SISMEMBER', K'px', group) == 0 then note = pause_of_all() end
  return note or get('pj', group_of(jk)) or nil
end

local function end_of(note)
  local known = decoded(note)
  return known and num(known.u) or nil
end

local function ends(what, note)
  local until_ = end_of(note)
  if until_ then redis.call('ZADD', K'pe', until_, what) end
end

local function pause_trigger(key, note)
  local is_changed = apply(key, 'pause')
  local s = load(key)
  if s[STATE] == 'P' then
    s[NOTE], s[PAUSE_END] = note, end_of(note) or false
    save(key, s)
    ends('t' .. text(s[GENERATION]) .. ':' .. key, note)
  end
  return is_changed
end

local function ends_later(end_known, note)
  local other = end_of(note)
  return not end_known or (other ~= nil and end_known >= other)
end

-- Triggers and jobs.

local function take_trigger(key)
  local s = load(key)
  if not s then return nil end
  dequeue(key, s)
  withdraw(key, s)
  save(key, false)
  put('td', key, false)
  place('ti', key, false)
  add('gt', group_of(key), -1)
  leave_job(s[JOB], key)
  if s[CALENDAR] then redis.call('SREM', K('cu:' .. s[CALENDAR]), key) end
  return s
end

-- For good, with what nothing takes over.
local function remove_trigger(key)
  local s = take_trigger(key)
  if s and s[RUNS] > 0 and not s[RUN] then redis.call('DEL', K('rt:' .. text(s[LINEAGE]))) end
  return s
end

local function drop_job(jk)
  put('jd', jk, false)
  place('ji', jk, false)
  add('gj', group_of(jk), -1)
end

local function drop_if_orphaned(jk)
  local record = get('jd', jk)
  if not record or is_durable(record) or has_triggers(jk) then return false end
  drop_job(jk)
  return true
end

-- A description is a table: k key, j job, d what nodes read, p priority, o overlap policy, e execution group as in the lane, a
-- calendar or nothing, f the progress after its only firing or nothing.

local function name_calendar(t, s)
  s[CALENDAR] = t.a ~= '' and t.a
  if s[CALENDAR] then redis.call('SADD', K('cu:' .. s[CALENDAR]), t.k) end
end

local function insert_trigger(t, progress, next, runs)
  local number, meta = count(), job(t.j)
  local s = {
    true, 'W', meta.x, runs and runs.u or 0, tonumber(t.p), next or false, number, runs and runs.i or number, number,
    runs and runs.f or false, false, t.j, t.e .. '\0' .. meta.y, t.o, false, runs and runs.w or false, false, false, progress, t.f,
  }
  name_calendar(t, s)
  put('td', t.k, t.d)
  place('ti', t.k, '0')
  add('gt', group_of(t.k), 1)
  join_job(t.j, t.k)
  save(t.k, s)
  enqueue(t.k, s)
  local note = at_birth(t.k, t.j)
  if note then pause_trigger(t.k, note) end
end

local function update_trigger(t)
  local s = load(t.k)
  dequeue(t.k, s)
  if s[CALENDAR] then redis.call('SREM', K('cu:' .. s[CALENDAR]), t.k) end
  s[REVISION], s[PRIORITY], s[OVERLAP], s[ONCE] = count(), tonumber(t.p), t.o, ''
  move_to(t.k, s, t.e .. '\0' .. job(t.j).y, s[EXCLUSIVE])
  name_calendar(t, s)
  put('td', t.k, t.d)
  save(t.k, s)
  enqueue(t.k, s)
end

local function refuse(kind, names) return { error = kind, names = names } end

-- The verbs.
local V = {}

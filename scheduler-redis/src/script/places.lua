
-- Triggers, and where they wait.

-- A state is a table of these. The lane is `1` and the name of the execution group, or `0`, NUL, and the type of the job. What
-- is not there is false: the time that it is due, was freed, or at which its pause ends; its claim, its only run, calendar, and
-- note of its pause. The first place says that the record was read. ONCE is the progress after its only firing, as long as nothing has changed since the trigger was stored, and
-- empty for all others.
local STATE, EXCLUSIVE, RUNS, PRIORITY, NEXT, GENERATION, LINEAGE, REVISION, FREED, PAUSE_END = 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local JOB, LANE, OVERLAP, CLAIM, RUN, CALENDAR, NOTE, PROGRESS, ONCE = 12, 13, 14, 15, 16, 17, 18, 19, 20
local STATE_FORMAT = '>c1BI4i4ddddddI2c0I2c0Bc0Bc0Bc0I2c0I4c0I4c0I2c0c1'
-- At the end of a record that nobody has destroyed.
local WHOLE = '.'
local function is_whole(record, least) return #record >= least and string.sub(record, -1) == WHOLE end

local function read_state(record)
  if not is_whole(record, 60) then return false end
  local s = { pcall(struct.unpack, STATE_FORMAT, record) }
  if not s[1] then return false end
  s[EXCLUSIVE] = s[EXCLUSIVE] == 1
  if s[NEXT] == NEVER then s[NEXT] = false end
  if s[FREED] == NEVER then s[FREED] = false end
  if s[PAUSE_END] == NEVER then s[PAUSE_END] = false end
  if s[CLAIM] == '' then s[CLAIM] = false end
  if s[RUN] == '' then s[RUN] = false end
  if s[CALENDAR] == '' then s[CALENDAR] = false end
  if s[NOTE] == '' then s[NOTE] = false end
  return s
end

local function write_state(s)
  local c, r, a, n = s[CLAIM] or '', s[RUN] or '', s[CALENDAR] or '', s[NOTE] or ''
  local job, lane, overlap, progress, once = s[JOB], s[LANE], s[OVERLAP], s[PROGRESS], s[ONCE]
  return struct.pack(
    STATE_FORMAT, s[STATE], s[EXCLUSIVE] and 1 or 0, s[RUNS], s[PRIORITY], s[NEXT] or NEVER, s[GENERATION], s[LINEAGE],
    s[REVISION], s[FREED] or NEVER, s[PAUSE_END] or NEVER, #job, job, #lane, lane, #overlap, overlap, #c, c, #r, r, #a, a,
    #n, n, #progress, progress, #once, once, WHOLE
  )
end

local function move_on(s, progress, next) s[NEXT], s[PROGRESS], s[ONCE] = next or false, progress, '' end

local states, saved = {}, {}
local function load(key)
  local s = states[key]
  if s == nil then
    local record = get('ts', key)
    s = record and read_state(record)
    states[key] = s
  end
  return s or nil
end
local function save(key, s)
  states[key] = s
  saved[key] = true
end
local function write_states()
  for key in pairs(saved) do put('ts', key, states[key] and write_state(states[key])) end
  saved = {}
end

-- What the script must know of a job: one bit for each of its rules, and its type.
local ONE_AT_A_TIME, DURABLE, KEEPS_DATA, RECOVERS = 1, 2, 4, 8
local function read_job(record)
  local flags, job_type = string.match(record, '^(.)([^%z]*)%z')
  if not flags then return nil end
  flags = string.byte(flags)
  local function has(bit) return math.floor(flags / bit) % 2 == 1 end
  return { x = has(ONE_AT_A_TIME), d = has(DURABLE), p = has(KEEPS_DATA), r = has(RECOVERS), y = job_type }
end
local function is_durable(record)
  local meta = read_job(record)
  return meta and meta.d
end
local function job(key)
  local record = get('jd', key)
  return record and read_job(record)
end
-- Its data alone.
local function data_of(record) return string.match(record, '^.[^%z]*%z[^%z]*%z(.*)$') end
local function is_busy(jk) return get('busy', jk) end

local function type_of(lane) return string.match(lane, '%z(.*)$') or '' end
local function group_in(lane) return string.match(lane, '^([^%z]*)') end
local function queue_of(lane, jk) return 'q:' .. lane .. ':' .. jk end

local zsets = {}
local function zset_of(lane)
  local zset = zsets[lane]
  if not zset then
    zset = 'lane:' .. lane
    zsets[lane] = zset
  end
  return zset
end

-- When a lane is due is noted once in a call, however much changes in it.
local touched = {}
local function stand(lane, at, m)
  place(zset_of(lane), m, at)
  touched[lane] = true
end
local function step_out(lane, m) stand(lane, false, m) end
local function note_lanes()
  for lane in pairs(touched) do
    local due, first, at = 'due:' .. type_of(lane), head(zset_of(lane))
    if first then
      redis.call('ZADD', K(due), at, lane)
      redis.call('SADD', K'types', type_of(lane))
    elseif redis.call('ZREM', K(due), lane) == 1 and redis.call('ZCARD', K(due)) == 0 then
      redis.call('SREM', K'types', type_of(lane))
    end
  end
  touched = {}
end

local function keeps_back(s) return s[OVERLAP] == 'buffer_one' or s[OVERLAP] == 'cancel_previous' end

local function enqueue(key, s)
  if s[STATE] ~= 'W' or not s[NEXT] then return end
  local at, m, jk = s[NEXT], member(s[PRIORITY], key), s[JOB]
  if s[RUNS] > 0 and keeps_back(s) then
    if s[OVERLAP] == 'cancel_previous' then redis.call('ZADD', K'over', at, key) end
  elseif s[EXCLUSIVE] then
    local queue = queue_of(s[LANE], jk)
    redis.call('SADD', K('ql:' .. jk), s[LANE])
    local first, score = head(queue)
    redis.call('ZADD', K(queue), at, m)
    if not is_busy(jk) and (not first or at < score or (at == score and m < first)) then
      if first then step_out(s[LANE], first) end
      stand(s[LANE], at, m)
    end
  else
    stand(s[LANE], text(at), m)
  end
end

local function dequeue(key, s)
  if s[STATE] ~= 'W' or not s[NEXT] then return end
  local m, jk = member(s[PRIORITY], key), s[JOB]
  if s[OVERLAP] == 'cancel_previous' then redis.call('ZREM', K'over', key) end
  if not s[EXCLUSIVE] then return step_out(s[LANE], m) end
  local queue = queue_of(s[LANE], jk)
  local was_first = head(queue) == m
  redis.call('ZREM', K(queue), m)
  local first, score = head(queue)
  if not first then redis.call('SREM', K('ql:' .. jk), s[LANE]) end
  if was_first and not is_busy(jk) then
    step_out(s[LANE], m)
    if first then stand(s[LANE], score, first) end
  end
end

-- Also says whether it was in other lanes than this one.
local function withhold(jk, own)
  local elsewhere = false
  for _, lane in ipairs(redis.call('SMEMBERS', K('ql:' .. jk))) do
    local first = head(queue_of(lane, jk))
    if first then
      step_out(lane, first)
      elsewhere = elsewhere or lane ~= own
    end
  end
  return elsewhere
end

local function offer(jk)
  for _, lane in ipairs(redis.call('SMEMBERS', K('ql:' .. jk))) do
    local first, score = head(queue_of(lane, jk))
    if first then
      stand(lane, score, first)
      wake = true
    end
  end
end

-- The triggers of a job. Most have one.

local function join_job(jk, key)
  local only = get('jo', jk)
  if not only then
    put('jo', jk, key)
  elseif only ~= key then
    if only ~= '' then place('jt:' .. jk, only, '0') end
    place('jt:' .. jk, key, '0')
    put('jo', jk, '')
  end
end

local function leave_job(jk, key)
  local only = get('jo', jk)
  if only == key then
    put('jo', jk, false)
  elseif only == '' then
    place('jt:' .. jk, key, false)
  end
end

local function has_triggers(jk)
  local only = get('jo', jk)
  if only ~= '' then return only end
  if redis.call('ZCARD', ordered('jt:' .. jk)) > 0 then return true end
  put('jo', jk, false)
  return false
end

local function part_of_job(jk, after)
  local only = get('jo', jk)
  if only == '' then return part_of('jt:' .. jk, after) end
  if not only or (given(after) and after >= only) then return {} end
  if room == 0 then return {}, given(after) and after or '' end
  room = room - 1
  return { only }
end

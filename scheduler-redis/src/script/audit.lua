
-- What is not as it must be, after somebody has changed keys by hand; mended if that is wished. By parts, in the order of the
-- Rust side: what a later part goes by was mended by an earlier one.

local faults = {}
local function say(kind, key, what) faults[#faults + 1] = { kind, key, what } end
-- Says it, and whether it is to be mended.
local function mends(kind, key, what)
  say(kind, key, what)
  return request.repair
end
local function is_json(record) return record and (pcall(cjson.decode, record)) end

local function shown_group(group) return group == '' and 'DEFAULT' or group end

local AUDIT = {}

-- Keys that were of the wrong kind, and what stands in them for the whole store.
function AUDIT.keys()
  for name, kind in pairs(TYPES) do
    local is = redis.call('TYPE', K(name)).ok
    if is ~= kind and is ~= 'none' then
      if mends('key', name, 'it is a ' .. is .. ' and not a ' .. kind) then redis.call('DEL', K(name)) end
    end
  end
  for _, name in ipairs(redis.call('SMEMBERS', K'aside')) do
    if mends('key', name, 'it was of the wrong kind and was moved to `' .. P .. 'aside:' .. name .. '`') then
      redis.call('DEL', K('aside:' .. name))
      redis.call('SREM', K'aside', name)
    end
  end
  local schema = redis.call('HGET', K'meta', 'schema') or ''
  if not string.match(schema, '^%d+:%d+$') and mends('key', 'meta', 'its format is `' .. schema .. '`') then
    redis.call('HSET', K'meta', 'schema', FORMAT .. ':' .. FORMAT)
  end
  for _, name in ipairs({ 'birth', 'lease', 'cap', 'lc', 'lw' }) do
    local value = redis.call('HGET', K'meta', name)
    if value and not tonumber(value) and mends('key', 'meta', 'its field `' .. name .. '` is `' .. value .. '`') then
      if name == 'birth' then redis.call('HSET', K'meta', name, request.birth) else redis.call('HDEL', K'meta', name) end
    end
  end
  local chores = redis.call('HGETALL', K'chores')
  for n = 1, #chores, 2 do
    if not read_chore(chores[n + 1]) and mends('chore', chores[n], 'it cannot be read; repeat the last change of many triggers') then
      redis.call('HDEL', K'chores', chores[n])
    end
  end
end

-- Records of which no list of names knows.
local LISTED = { { 'ts', 'ti', 'trigger' }, { 'td', 'ti', 'trigger' }, { 'jd', 'ji', 'job' } }
function AUDIT.names()
  local number, cursor = string.match(given(request.after) and request.after or '1 0', '^(%d+) (%d+)$')
  number = tonumber(number)
  local hash, names, kind = unpack(LISTED[number])
  local part = redis.call('HSCAN', K(hash), cursor, 'COUNT', PART)
  for n = 1, #part[2], 2 do
    local key = part[2][n]
    if not redis.call('ZSCORE', ordered(names), key) and mends(kind, key, 'it has a record and no name') then place(names, key, '0') end
  end
  if part[1] ~= '0' then return number .. ' ' .. part[1] end
  return LISTED[number + 1] and (number + 1) .. ' 0' or nil
end

-- A run holds a job that allows one, and is known to its trigger.
local function check_run(id, claim)
  local key, jk = claim[TRIGGER], claim[OF_JOB]
  if claim[ALONE] and job(jk) and is_busy(jk) ~= id and mends('job', jk, 'the run ' .. id .. ' does not hold it') then
    put('busy', jk, id)
    withhold(jk)
  end
  local s = load(key)
  if not s or s[LINEAGE] ~= claim[OF_LINEAGE] or s[RUN] == id then return end
  local all = K('rt:' .. text(s[LINEAGE]))
  if redis.call('SISMEMBER', all, id) == 0 and mends('trigger', key, 'it does not know of its run ' .. id) then
    redis.call('SADD', all, id)
    if s[RUN] then redis.call('SADD', all, s[RUN]) end
    dequeue(key, s)
    s[RUN], s[RUNS] = false, redis.call('SCARD', all)
    save(key, s)
    enqueue(key, s)
  end
end

local function check_session(session)
  local home, is_alive = 'cl:' .. session, redis.call('ZSCORE', K'sl', session)
  local all = redis.call('HGETALL', K(home))
  for n = 1, #all, 2 do
    local id, claim = all[n], read_claim(all[n + 1])
    if not claim then
      if mends('claim', '', id .. ' cannot be read') then put(home, id, false) end
    elseif not is_alive then
      say('claim', claim[TRIGGER], id .. ' belongs to nobody')
    else
      check_run(id, claim)
    end
  end
  if not is_alive and request.repair then entomb(session) end
end

function AUDIT.runs()
  local homes, known = redis.call('SMEMBERS', K'homes'), {}
  for _, session in ipairs(homes) do known[session] = true end
  for _, session in ipairs(redis.call('ZRANGE', K'sl', 0, -1)) do
    local is_home = redis.call('EXISTS', K('cl:' .. session)) == 1
    if is_home and not known[session] then
      homes[#homes + 1] = session
      if mends('node', session, 'its runs are not listed') then redis.call('SADD', K'homes', session) end
    end
    if not is_registered(session) then say('node', session, 'its registration is destroyed; it registers anew') end
  end
  for _, session in ipairs(homes) do check_session(session) end
end

local function check_busy(jk, id)
  if claim_of(id) or claimant(id) then return end
  if mends('job', jk, 'it is held by ' .. id .. ', which is not there') then
    put('busy', jk, false)
    offer(jk)
  end
end

function AUDIT.busy()
  local part = redis.call('HSCAN', K'busy', given(request.after) and request.after or '0', 'COUNT', PART)
  for n = 1, #part[2], 2 do check_busy(part[2][n], part[2][n + 1]) end
  return part[1] ~= '0' and part[1] or nil
end

-- What is the matter with the places of a trigger, if anything is.
local function wrong_place(key, s)
  local m, jk, lane = member(s[PRIORITY], key), s[JOB], s[LANE]
  local waits, kept = s[STATE] == 'W' and s[NEXT], s[RUNS] > 0 and keeps_back(s)
  local in_lane, in_queue = redis.call('ZSCORE', ordered('lane:' .. lane), m), redis.call('ZSCORE', K(queue_of(lane, jk)), m)
  local in_over = redis.call('ZSCORE', K'over', key)
  if in_over and not (waits and kept) then return 'it stands among what overlaps, and does not' end
  if not waits or kept then
    return (in_lane or in_queue) and 'it stands among what waits, and does not wait' or nil
  end
  if not s[EXCLUSIVE] then return not in_lane and 'it waits, and stands in no lane' or nil end
  if not in_queue then return 'it waits, and stands in no queue' end
  if redis.call('SISMEMBER', K('ql:' .. jk), lane) == 0 then return 'it waits in a queue that its job does not know' end
  if not in_lane and not is_busy(jk) and head(queue_of(lane, jk)) == m then return 'it is the next of its job, and stands in no lane' end
end

-- A run that is to make way for the next one is among what overlaps until it was asked to.
local function is_forgotten_overlap(key, s)
  if s[STATE] ~= 'W' or not s[NEXT] or s[RUNS] == 0 or s[OVERLAP] ~= 'cancel_previous' then return false end
  if redis.call('ZSCORE', K'over', key) then return false end
  for _, id in ipairs(runs_under_way(s)) do
    if redis.call('HEXISTS', K('stop:' .. session_of(id)), id) == 1 then return false end
  end
  return true
end

local function check_place(key, s)
  local wrong = wrong_place(key, s) or (is_forgotten_overlap(key, s) and 'it does not stand among what overlaps') or nil
  if s[STATE] == 'A' and not redis.call('ZSCORE', ordered('lapse'), key) then wrong = 'it is claimed, and by nobody' end
  if not wrong or not mends('trigger', key, wrong) then return end
  local m = member(s[PRIORITY], key)
  step_out(s[LANE], m)
  redis.call('ZREM', K(queue_of(s[LANE], s[JOB])), m)
  redis.call('ZREM', K'over', key)
  if s[STATE] == 'A' then
    s[STATE] = 'W'
    withdraw(key, s)
  end
  save(key, s)
  enqueue(key, s)
  wake = true
end

local function check_lane(key, s)
  local name, job_type = s[LANE], type_of(s[LANE])
  local first, at = head('lane:' .. name)
  if not first or touched[name] then return end
  local is_due = tonumber(redis.call('ZSCORE', K('due:' .. job_type), name) or '') == at
  if is_due and redis.call('SISMEMBER', K'types', job_type) == 1 then return end
  if mends('trigger', key, 'its lane is not among what is due') then
    touched[name] = true
    note_lanes()
    wake = true
  end
end

local function check_claim(key, s)
  local id = s[STATE] == 'A' and s[EXCLUSIVE] and s[CLAIM]
  if id and is_busy(s[JOB]) ~= id and mends('job', s[JOB], 'the claim ' .. id .. ' does not hold it') then
    put('busy', s[JOB], id)
    withhold(s[JOB])
  end
end

local function check_runs(key, s)
  local runs, alive = s[RUNS] > 0 and runs_under_way(s) or {}, 0
  for _, id in ipairs(runs) do
    local claim = claim_of(id)
    if claim and claim[OF_LINEAGE] == s[LINEAGE] then
      alive = alive + 1
    elseif request.repair then
      redis.call('SREM', K('rt:' .. text(s[LINEAGE])), id)
    end
  end
  if alive == s[RUNS] or not mends('trigger', key, 'it has ' .. s[RUNS] .. ' runs, of which ' .. alive .. ' are there') then return end
  dequeue(key, s)
  s[RUNS] = alive
  if alive == 0 then s[RUN] = false end
  save(key, s)
  enqueue(key, s)
  wake = true
end

-- What a trigger names, and who names it.
local function check_names(key, s)
  local only = get('jo', s[JOB])
  if only ~= key and not (only == '' and redis.call('ZSCORE', ordered('jt:' .. s[JOB]), key))
    and mends('trigger', key, 'its job does not know of it') then
    if only and only ~= '' and not load(only) then put('jo', s[JOB], false) end
    join_job(s[JOB], key)
  end
  local calendar = s[CALENDAR]
  if calendar and redis.call('SISMEMBER', K('cu:' .. calendar), key) == 0
    and mends('trigger', key, 'its calendar `' .. calendar .. '` does not know of it') then
    redis.call('SADD', K('cu:' .. calendar), key)
  end
  local ending = s[STATE] == 'P' and s[PAUSE_END] and 't' .. text(s[GENERATION]) .. ':' .. key
  if ending and not redis.call('ZSCORE', K'pe', ending) and mends('trigger', key, 'the end of its pause is not noted') then
    redis.call('ZADD', K'pe', s[PAUSE_END], ending)
  end
end

-- What keeps a trigger from ever firing. It stays, in the error state: once its job or calendar is stored again, a reset is enough.
local function check_needs(key, s)
  if s[STATE] == 'E' then return end
  local missing = not job(s[JOB]) and 'its job is not there or cannot be read'
    or s[CALENDAR] and not is_json(get('cal', s[CALENDAR])) and 'its calendar `' .. s[CALENDAR] .. '` is not there or cannot be read'
  if missing and mends('trigger', key, missing) then apply(key, 'fail') end
end

local function forget_trigger(key)
  place('ti', key, false)
  put('td', key, false)
  put('ts', key, false)
  place('lapse', key, false)
  add('gt', group_of(key), -1)
end

local function check_trigger(key)
  local s, description = load(key), get('td', key)
  if not s then
    if mends('trigger', key, 'it has a name and no record that can be read') then forget_trigger(key) end
  elseif not is_json(description) or not is_json(s[PROGRESS]) then
    if mends('trigger', key, 'its description is not there or cannot be read') then
      remove_trigger(key)
      drop_if_orphaned(s[JOB])
    end
  else
    check_names(key, s)
    check_runs(key, s)
    check_claim(key, s)
    check_place(key, s)
    check_lane(key, s)
    check_needs(key, s)
  end
end

function AUDIT.triggers()
  local keys, more = part_of('ti', request.after)
  fetch('ts', keys)
  fetch('td', keys)
  for _, key in ipairs(keys) do check_trigger(key) end
  return more
end

-- What stands in the queues of a job and is not there any more.
local function check_queues(jk)
  for _, lane in ipairs(redis.call('SMEMBERS', K('ql:' .. jk))) do
    local first = head(queue_of(lane, jk))
    for _ = 1, PART do
      if not first or load(key_of(first)) then break end
      if not mends('job', jk, 'a trigger waits for it that is not there') then break end
      redis.call('ZREM', K(queue_of(lane, jk)), first)
      first = head(queue_of(lane, jk))
    end
    if not is_busy(jk) then offer(jk) end
  end
end

local function is_readable_job(record)
  local description, data = string.match(record or '', '^.[^%z]*%z([^%z]*)%z(.*)$')
  return description and is_json(description) and is_json(data)
end

local function check_job(jk)
  if not is_readable_job(get('jd', jk)) then
    if mends('job', jk, 'it has a name and no record that can be read') then
      drop_job(jk)
    end
  end
  check_queues(jk)
  if request.repair then drop_if_orphaned(jk) end
end

function AUDIT.jobs()
  local keys, more = part_of('ji', request.after)
  fetch('jd', keys)
  for _, jk in ipairs(keys) do check_job(jk) end
  return more
end

-- The first triggers of each job are triggers of it.
function AUDIT.links()
  local part = redis.call('HSCAN', K'jo', given(request.after) and request.after or '0', 'COUNT', PART)
  for n = 1, #part[2], 2 do
    local jk = part[2][n]
    room = BATCH
    for _, key in ipairs((part_of_job(jk, nil))) do
      local s = load(key)
      if not (s and s[JOB] == jk) and mends('job', jk, 'it has a trigger that is not there') then leave_job(jk, key) end
    end
  end
  return part[1] ~= '0' and part[1] or nil
end

function AUDIT.calendars()
  local names = redis.call('HKEYS', K'cal')
  fetch('cal', names)
  for _, name in ipairs(names) do
    if not is_json(get('cal', name)) and mends('calendar', name, 'it cannot be read') then put('cal', name, false) end
    for _, key in ipairs(redis.call('SMEMBERS', K('cu:' .. name))) do
      local s = load(key)
      if not (s and s[CALENDAR] == name) and mends('calendar', name, 'a trigger uses it that is not there') then
        redis.call('SREM', K('cu:' .. name), key)
      end
    end
  end
end

-- How many are in each group, by the names in their order.
local function check_groups(hash, names, kind)
  local counted = {}
  local function members(group) return redis.call('ZLEXCOUNT', ordered(names), '[' .. group .. '\0', '(' .. group .. '\1') end
  local function check(group)
    local count = members(group)
    if (tonumber(get(hash, group) or '0') or 0) == count then return end
    if mends('group', shown_group(group), 'it counts `' .. tostring(get(hash, group) or 0) .. '` ' .. kind .. ' in place of ' .. count) then
      put(hash, group, count > 0 and text(count))
    end
  end
  local first = redis.call('ZRANGEBYLEX', ordered(names), '-', '+', 'LIMIT', 0, 1)[1]
  while first do
    local group = group_of(first)
    counted[group] = true
    check(group)
    first = redis.call('ZRANGEBYLEX', ordered(names), '(' .. group .. '\1', '+', 'LIMIT', 0, 1)[1]
  end
  for _, group in ipairs(redis.call('HKEYS', K(hash))) do
    if not counted[group] then check(group) end
  end
end

local function check_pause(hash, field, ending, kind)
  local note = get(hash, field)
  local is_read = note and decoded(note)
  if not (is_read and type(is_read.n) == 'table') and mends('pause', shown_group(field), 'the note of ' .. kind .. ' cannot be read') then
    put(hash, field, request.note)
  elseif end_of(note) and not redis.call('ZSCORE', K'pe', ending) and mends('pause', shown_group(field), 'the end of ' .. kind .. ' is not noted') then
    ends(ending, note)
  end
end

-- How many runs and claims an execution group has.
local function check_execution_groups()
  local counts = {}
  local function of_group(group) if group then counts[group] = (counts[group] or 0) + 1 end end
  local function of_runs(home)
    local all = redis.call('HGETALL', K(home))
    for n = 2, #all, 2 do
      local claim = read_claim(all[n])
      of_group(claim and claim[GROUP])
    end
  end
  for _, session in ipairs(redis.call('SMEMBERS', K'homes')) do of_runs('cl:' .. session) end
  for _, name in ipairs(redis.call('SMEMBERS', K'graves')) do of_runs('grave:' .. name) end
  local waiting = redis.call('ZRANGE', ordered('lapse'), 0, -1)
  fetch('ts', waiting)
  for _, key in ipairs(waiting) do
    local s = load(key)
    of_group(s and s[CLAIM] and group_of_lane(s[LANE]))
  end
  for _, group in ipairs(redis.call('HKEYS', K'eg')) do counts[group] = counts[group] or 0 end
  for group, count in pairs(counts) do
    local known = redis.call('HGET', K'eg', group) or '0'
    if tonumber(known) ~= count and mends('group', shown_group(group), 'it counts `' .. known .. '` runs in place of ' .. count) then
      put('eg', group, count > 0 and text(count))
      wake = true
    end
  end
end

function AUDIT.marks()
  local part = redis.call('HSCAN', K'marks', given(request.after) and request.after or '0', 'COUNT', PART)
  for n = 1, #part[2], 2 do
    local said = string.match(part[2][n + 1], '^%d+%z(.*)$')
    if not is_json(said) and mends('mark', part[2][n], 'it cannot be read; its task runs again') then put('marks', part[2][n], false) end
  end
  return part[1] ~= '0' and part[1] or nil
end

function AUDIT.groups()
  check_groups('gt', 'ti', 'triggers')
  check_groups('gj', 'ji', 'jobs')
  for _, group in ipairs(redis.call('HKEYS', K'pg')) do check_pause('pg', group, 'g' .. group, 'a paused group of triggers') end
  for _, group in ipairs(redis.call('HKEYS', K'pj')) do check_pause('pj', group, 'j' .. group, 'a paused group of jobs') end
  if pause_of_all() then check_pause('meta', 'all', 'a', 'the pause of all') end
  check_execution_groups()
end

function V.audit()
  local more = AUDIT[request.of]()
  return { found = faults, after = more }
end


-- What users ask.

function V.calendars()
  local found, all = {}, redis.call('HGETALL', K'cal')
  for n = 1, #all, 2 do found[#found + 1] = { all[n], all[n + 1] } end
  return found
end

-- Its rows: what nodes read of each.
function V.jobs()
  local keys, more = request.keys, nil
  if #keys == 0 then keys, more = part_of('ji', request.after) end
  fetch('jd', keys)
  for _, jk in ipairs(keys) do
    local record = get('jd', jk)
    if record then rows[#rows + 1] = record end
  end
  return { after = more }
end

-- Its rows: description, progress, how it stands, how many runs, `1` if its job keeps it waiting, note of its pause, revision.
function V.triggers()
  local keys, more = request.keys, nil
  if #keys == 0 then
    if given(request.job) then keys, more = part_of_job(request.job, request.after) else keys, more = part_of('ti', request.after) end
  end
  fetch('ts', keys)
  fetch('td', keys)
  for _, key in ipairs(keys) do
    local s = load(key)
    if s then
      local holder = s[EXCLUSIVE] and is_busy(s[JOB])
      local claim, at = holder and claim_of(holder), #rows
      rows[at + 1], rows[at + 2], rows[at + 3], rows[at + 4] = get('td', key) or '', s[PROGRESS], s[STATE], tostring(s[RUNS])
      rows[at + 5], rows[at + 6], rows[at + 7] = claim and '1' or '', s[NOTE] or '', text(s[REVISION])
    end
  end
  return { after = more }
end

-- Its rows: each run.
function V.history()
  local last = given(request.after) and ('(' .. request.after) or '+'
  local found = redis.call('XREVRANGE', K'hist', last, '-', 'COUNT', PART)
  for n, entry in ipairs(found) do rows[n] = entry[2][2] end
  return { after = #found == PART and found[PART][1] or nil }
end

function V.groups()
  local jobs = request.kind == 'jobs'
  local names, members, all = {}, {}, redis.call('HGETALL', K(jobs and 'gj' or 'gt'))
  for n = 1, #all, 2 do
    names[#names + 1] = all[n]
    members[all[n]] = tonumber(all[n + 1])
  end
  local hash = jobs and 'pj' or 'pg'
  for _, group in ipairs(redis.call('HKEYS', K(hash))) do
    if not members[group] then
      names[#names + 1] = group
      members[group] = 0
    end
  end
  local found = {}
  for n, group in ipairs(names) do
    local note = get(hash, group)
    if not note and not jobs and pause_of_all() and redis.call('SISMEMBER', K'px', group) == 0 then note = pause_of_all() end
    found[n] = { group, members[group], note or nil }
  end
  return found
end

-- What is not as it must be, after somebody has changed keys by hand; mended if that is wished. By parts, and the claims
-- with the last one.
local function check_place(key, s, say)
  local m, jk = member(s[PRIORITY], key), s[JOB]
  local meta, waits = job(jk), s[STATE] == 'W' and s[NEXT]
  local in_lane, in_queue = redis.call('ZSCORE', ordered('lane:' .. s[LANE]), m), redis.call('ZSCORE', K(queue_of(s[LANE], jk)), m)
  local in_over = redis.call('ZSCORE', K'over', key)
  local kept = s[RUNS] > 0 and keeps_back(s)
  if not meta then
    say('its job is not there')
  elseif not waits or kept then
    if in_lane or in_queue then say('it stands among what waits, and does not wait') end
  elseif s[EXCLUSIVE] and not in_queue then
    say('it waits, and stands in no queue')
  elseif s[EXCLUSIVE] and not in_lane and not is_busy(jk) and head(queue_of(s[LANE], jk)) == m then
    say('it is the next of its job, and stands in no lane')
  elseif not s[EXCLUSIVE] and not in_lane then
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
      place('ti', key, false)
      put('td', key, false)
      put('ts', key, false)
      add('gt', group_of(key), -1)
    end
    return
  end
  local claimed = s[CLAIM] and redis.call('ZSCORE', ordered('lapse'), key)
  if s[STATE] == 'A' and not claimed then say('it is claimed, and by nobody') end
  check_place(key, s, say)
  if wrong and request.repair and job(s[JOB]) then
    step_out(s[LANE], member(s[PRIORITY], key))
    redis.call('ZREM', K(queue_of(s[LANE], s[JOB])), member(s[PRIORITY], key))
    redis.call('ZREM', K'over', key)
    if s[STATE] == 'A' then s[STATE], s[CLAIM] = 'W', false end
    save(key, s)
    enqueue(key, s)
    wake = true
  end
end

local function check_home(session, found)
  if redis.call('ZSCORE', K'sl', session) then return end
  local all = redis.call('HGETALL', K('cl:' .. session))
  for n = 1, #all, 2 do
    local claim = read_claim(all[n + 1])
    found[#found + 1] = { 'claim', claim and claim[TRIGGER] or '', all[n] .. ' belongs to nobody' }
  end
  if request.repair then entomb(session) end
end

local function check_busy(jk, id, found)
  if claim_of(id) or claimant(id) then return end
  found[#found + 1] = { 'job', jk, 'it is held by ' .. id .. ', which is not there' }
  if request.repair then
    put('busy', jk, false)
    offer(jk)
  end
end

local function check_job(jk, found)
  if not job(jk) then found[#found + 1] = { 'job', jk, 'it has a name and no record' } end
  for _, key in ipairs((part_of_job(jk, nil))) do
    if not load(key) then
      found[#found + 1] = { 'job', jk, 'it has a trigger that is not there' }
      if request.repair then leave_job(jk, key) end
    end
  end
end

function V.audit()
  local found = {}
  if request.of == 'triggers' then
    local keys, more = part_of('ti', request.after)
    fetch('ts', keys)
    for _, key in ipairs(keys) do check_trigger(key, found) end
    return { found = found, after = more }
  end
  if request.of == 'jobs' then
    -- Each with its first triggers.
    local keys, more = part_of('ji', request.after)
    for _, jk in ipairs(keys) do
      room = BATCH
      check_job(jk, found)
    end
    return { found = found, after = more }
  end
  if request.of == 'claims' then
    for _, session in ipairs(redis.call('SMEMBERS', K'homes')) do check_home(session, found) end
    return { found = found }
  end
  local part = redis.call('HSCAN', K'busy', given(request.after) and request.after or '0', 'COUNT', PART)
  for n = 1, #part[2], 2 do check_busy(part[2][n], part[2][n + 1], found) end
  return { found = found, after = part[1] ~= '0' and part[1] or nil }
end

-- Takes the first due triggers out of their lanes and notes them as claims of a session.
--
-- ARGV: session, turn or nothing, now, until, how many, when late begins or nothing, share of late ones, version of pauses and
-- calendars as the node knows them, types as JSON or nothing, limits as JSON or nothing, whether alarms come first. Times in
-- milliseconds. Answers: what has become of it, epoch, number before the first claim, when to ask again, what is left of the share,
-- claims to be stopped and why, records, names whose records are gone, version of all jobs, claims with their execution groups.
local session, turn, now, until_then, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local late, share = tonumber(ARGV[7]), tonumber(ARGV[8])
-- Lanes that are looked at in one step.
local PART = 100

local served, limits, left
local function group_of(lane) return string.match(lane, '^[^%z]*') end

-- How many the node may take of this group, here and on all nodes together; nothing for any number.
local function left_of(group)
  if not limits then return nil end
  if left[group] == nil then
    local name = string.sub(group, 2)
    local here = limits.ungrouped
    local on_all
    if string.sub(group, 1, 1) == '1' then
      here, on_all = limits.named[name] or limits.others, limits.shared[name]
    end
    if on_all then
      on_all = math.max(0, on_all - (tonumber(call('HGET', K'groups', name) or '') or 0))
      if on_all == 0 then call('SADD', K'awaited', name) end
    end
    left[group] = here and on_all and math.min(here, on_all) or here or on_all or false
  end
  return left[group] or nil
end

local function is_open(lane)
  return not (served and not served[string.match(lane, '%z(.*)$')]) and left_of(group_of(lane)) ~= 0
end

-- The first of all lanes from which the node may take.
local function next_lane()
  local at = 0
  repeat
    local part = call('ZRANGE', K'lanes', at, at + PART - 1)
    for _, lane in ipairs(part) do
      if is_open(lane) then return lane end
    end
    at = at + PART
  until #part < PART
end

-- The lanes that are due and from which the node may take, in the order of their first: so many of those whose first is not before
-- `since`. What comes first in no other lane comes before the time that is answered, too.
local function due_lanes(since, many)
  local found, count, last, at, least = {}, 0, nil, 0, tonumber(since) or -math.huge
  repeat
    local part = call('ZRANGEBYSCORE', K'lanes', '-inf', until_then, 'WITHSCORES', 'LIMIT', at, PART)
    for n = 1, #part, 2 do
      local first = tonumber(part[n + 1])
      if count >= many and first > last then return found, first end
      if is_open(part[n]) then
        found[#found + 1] = part[n]
        if first >= least then count, last = count + 1, first end
      end
    end
    at = at + PART
  until #part < 2 * PART
  return found, nil
end

local function is_before(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end

-- What comes first in these lanes from this time on, in order and before another one, at most so many. Each is a time, a member and a
-- lane. Also says the lane if there is only one: then no time is told.
local function first_of(since, many, is_shared)
  local lanes, before = due_lanes(since, many)
  if #lanes == 1 and not before and since == '-inf' and not is_shared then
    -- Nothing has to be merged, so nobody needs the times.
    local found = call('ZRANGEBYSCORE', K('lane:' .. lanes[1]), since, until_then, 'LIMIT', 0, many)
    if not found[1] then touched[lanes[1]] = true end
    for n, member in ipairs(found) do found[n] = { 0, member, lanes[1] } end
    return found, lanes[1]
  end
  local each, found, bound = #lanes < 4 and many or math.max(4, 2 * math.ceil(many / #lanes)), {}, nil
  for _, lane in ipairs(lanes) do
    local part = call('ZRANGEBYSCORE', K('lane:' .. lane), since, until_then, 'WITHSCORES', 'LIMIT', 0, each)
    -- Whose first is not what it was noted to be is noted anew.
    if not part[1] then touched[lane] = true end
    for n = 1, #part, 2 do found[#found + 1] = { tonumber(part[n + 1]), part[n], lane } end
    -- What follows in this lane is not known: nothing goes further than this.
    local last = #part == 2 * each and found[#found]
    if last and not (bound and is_before(bound, last)) then bound = last end
  end
  if #lanes > 1 then table.sort(found, is_before) end
  while #found > 0 and ((bound and is_before(bound, found[#found])) or (before and found[#found][1] >= before)) do
    found[#found] = nil
  end
  return found
end

local taken, records, gone, busy, grouped = {}, {}, {}, {}, {}
-- Whether anything was taken that belongs to an execution group.
local has_groups = false

-- The records of triggers and runs.
local function records_of(names)
  local of = { triggers = {}, runs = {} }
  local places = { triggers = {}, runs = {} }
  for n, name in ipairs(names) do
    local hash = is_run(name) and 'runs' or 'triggers'
    local all = of[hash]
    all[#all + 1], places[hash][#all + 1] = name, n
  end
  local found = {}
  for hash, all in pairs(of) do
    if #all > 0 then
      for n, record in ipairs(call('HMGET', K(hash), unpack(all))) do found[places[hash][n]] = record end
    end
  end
  return found
end

-- Claims those that can be claimed. What cannot be leaves its lane, too: it stands in the queue of its job, or is destroyed.
local function claim(chosen, only)
  local names, members = {}, {}
  for n, place in ipairs(chosen) do
    names[n] = string.sub(place[2], 5)
    place[5], has_groups = names[n], has_groups or string.byte(place[3]) == 49
  end
  local found, jobs = records_of(names), {}
  for n, record in ipairs(found) do
    if record and (string.byte(record, 11) or 0) % 2 == 1 then
      local job = call('HGET', K'alone', names[n])
      jobs[n] = job
      if job then
        check('ql:' .. job)
        for _, lane in ipairs(call('SMEMBERS', K('ql:' .. job))) do check(queue_of(lane, job), 'lane:' .. lane) end
      end
    end
  end
  for n, place in ipairs(chosen) do
    local lane, record, job = place[3], found[n], jobs[n]
    members[lane] = members[lane] or {}
    table.insert(members[lane], place[2])
    if not record then
      gone[#gone + 1] = names[n]
    elseif not job or not (busy[job] or call('HEXISTS', K'busy', job) == 1) then
      if job then
        busy[job], place[4] = true, job
        call('ZREM', K(queue_of(lane, job)), place[2])
        for _, other in ipairs(call('SMEMBERS', K('ql:' .. job))) do
          local first = call('ZRANGE', K(queue_of(other, job)), 0, 0)
          if first[1] then call('ZREM', K('lane:' .. other), first[1]) end
          touched[other] = true
        end
      end
      taken[#taken + 1], records[#records + 1] = place, record
      local group = group_of(lane)
      if left_of(group) then left[group] = left[group] - 1 end
    end
  end
  for lane, all in pairs(members) do
    -- Those that come first leave by their rank, unless something beside them may have left this lane meanwhile.
    if lane == only and not next(jobs) then call('ZREMRANGEBYRANK', K('lane:' .. lane), 0, #all - 1) else call('ZREM', K('lane:' .. lane), unpack(all)) end
    touched[lane] = true
  end
  note_lanes()
end

-- From this time on; with `is_shared` only as many late ones as their share. Says whether that is used up.
local function pass(since, is_shared)
  -- Each step takes something out of a lane, or is the last one.
  for _ = 1, PART do
    local found, only = {}, nil
    if #taken < most then found, only = first_of(since, most - #taken, is_shared) end
    local chosen, of_group, is_used = {}, {}, false
    for _, place in ipairs(found) do
      local is_late, group = is_shared and place[1] < late, group_of(place[3])
      is_used = is_late and share == 0
      if is_used or #chosen == most - #taken then break end
      local room = left_of(group)
      if not (room and room <= (of_group[group] or 0)) then
        of_group[group], chosen[#chosen + 1] = (of_group[group] or 0) + 1, place
        if is_late then share = share - 1 end
      end
    end
    if #chosen > 0 then claim(chosen, only) end
    if is_used or #chosen == 0 then return is_used end
  end
end

local function note_claims()
  local base, head, claims, at, of_group = count(#taken), session .. '-%d', {}, {}, {}
  for n, place in ipairs(taken) do
    local id, name = string.format(head, base + n), place[5]
    local group = has_groups and string.match(place[3], '^1([^%z]*)')
    claims[2 * n - 1], claims[2 * n] = id, is_run(name) and place[2] or records[n]
    at[2 * n - 1], at[2 * n] = name, id
    if place[4] then call('HSET', K'busy', place[4], id) end
    if group then
      of_group[group] = (of_group[group] or 0) + 1
      grouped[#grouped + 1], grouped[#grouped + 2] = id, group
    end
  end
  call('HSET', K('cl:' .. session), unpack(claims))
  call('HSET', K'at', unpack(at))
  call('SADD', K'homes', session)
  left = {}
  for group, many in pairs(of_group) do
    call('HSET', K'groups', group, text((tonumber(call('HGET', K'groups', group) or '') or 0) + many))
    -- What the node has of its own limit is gone, too.
    if limits and limits.named[group] then limits.named[group] = limits.named[group] - many end
  end
  if limits and limits.ungrouped then
    for _, place in ipairs(taken) do
      if string.sub(place[3], 1, 1) == '0' then limits.ungrouped = limits.ungrouped - 1 end
    end
  end
  return text(base)
end

return guarded(function()
  local run, is_held = epoch()
  if not is_registered(session) then return { 'lost', run } end
  if is_held then return { 'held', run } end
  if turn ~= '' then
    -- A call that does not come after all others does nothing: its node does not wait for it any more.
    if tonumber(turn) <= (tonumber(call('HGET', K'tn', session) or '') or 0) then return { 'late', run } end
    call('HSET', K'tn', session, turn)
  end
  local rest = call('GET', K'rest')
  if (rest and #rest >= 8 and string.sub(rest, 1, 8) or '') ~= ARGV[9] then return { 'rest', run } end
  if ARGV[12] == '1' and call('ZCOUNT', K'alarms', '-inf', now) > 0 then return { 'alarm', run } end
  check('triggers', 'runs', 'cl:' .. session, 'at', 'homes', 'busy', 'alone', 'groups', 'awaited', 'lanes', 'stop:' .. session)
  if ARGV[10] ~= '' then
    served = {}
    for _, name in ipairs(cjson.decode(ARGV[10])) do served[name] = true end
  end
  limits, left = ARGV[11] ~= '' and cjson.decode(ARGV[11]), {}
  local due = call('ZRANGE', K'lanes', 0, 0, 'WITHSCORES')[2]
  -- As long as nothing is late there is nothing to share.
  if due and late and tonumber(due) >= late then late = nil end
  if most > 0 and due and (not late or pass('-inf', true)) then
    if late then pass(text(late), false) end
    pass('-inf', false)
  end
  note_lanes()
  local base = #taken > 0 and note_claims() or ''
  local first = next_lane()
  local next_due = first and tonumber(call('ZSCORE', K'lanes', first))
  local alarm = tonumber(call('ZRANGE', K'alarms', 0, 0, 'WITHSCORES')[2] or '')
  if alarm and not (next_due and next_due < alarm) then next_due = alarm end
  return {
    'ok', run, base, next_due and text(next_due) or '', text(share or 0), call('HGETALL', K('stop:' .. session)), records, gone,
    #taken > 0 and call('HGET', K'meta', 'jv') or '', grouped,
  }
end)

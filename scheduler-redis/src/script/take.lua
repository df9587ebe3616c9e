-- Takes the first due triggers out of their lanes and notes them as claims of a session.
--
-- ARGV: session, turn or nothing, now, until, how many, when late begins or nothing, share of late ones, version of pauses and
-- calendars as the node knows them, types as JSON or nothing, limits as JSON or nothing, whether alarms come first, from which queues the node
-- takes and the shares of the request as JSON, if there is something of it. Times in milliseconds. Answers: what has become of it, epoch, number before the first claim, when to ask again, what is left of the share,
-- claims to be stopped and why, records, names whose records are gone, version of all jobs, the queues of the claims, or
-- nothing if none has one, runs that have found a gate full.
local session, turn, now, most = ARGV[2], ARGV[3], ARGV[4], math.min(tonumber(ARGV[6]), PLACES)
-- To the end of this millisecond: the turns of rounds at the same time differ by parts of one.
local until_then = '(' .. text(tonumber(ARGV[5]) + 1)
local late, share = tonumber(ARGV[7]), tonumber(ARGV[8])
-- So many alarms are looked at in one step.
local MOST_RUNG = 20
-- Lanes that are looked at in one step.
local PART = 100
local byte, sub = string.byte, string.sub
-- The last digits of the numbers of claims: each call has a hundred numbers of its own, and makes no texts of them.
local DIGITS = {
  '00', '01', '02', '03', '04', '05', '06', '07', '08', '09', '10', '11', '12', '13', '14', '15', '16', '17', '18',
  '19', '20', '21', '22', '23', '24', '25', '26', '27', '28', '29', '30', '31', '32', '33', '34', '35', '36', '37',
  '38', '39', '40', '41', '42', '43', '44', '45', '46', '47', '48', '49', '50', '51', '52', '53', '54', '55', '56',
  '57', '58', '59', '60', '61', '62', '63', '64', '65', '66', '67', '68', '69', '70', '71', '72', '73', '74', '75',
  '76', '77', '78', '79', '80', '81', '82', '83', '84', '85', '86', '87', '88', '89', '90', '91', '92', '93', '94',
  '95', '96', '97', '98', '99',
}

local served, limits, left
-- The queues of the node, those of the present share, and how many are taken when the share is over.
local wish, scope, goal = ARGV[13] and cjson.decode(ARGV[13]), nil, most
local function queue_of(lane) return string.match(lane, '^[^%z]*') end

-- How many the node may take of this queue, here and on all nodes together; nothing for any number.
local function left_of(queue)
  if not limits then return nil end
  if left[queue] == nil then
    local name = string.sub(queue, 2)
    local here = limits.default
    local on_all
    if string.sub(queue, 1, 1) == '1' then
      here, on_all = limits.named[name] or limits.others, limits.shared[name]
    end
    if on_all then
      on_all = math.max(0, on_all - (tonumber(call('HGET', K'queues', name) or '') or 0))
      if on_all == 0 then call('SADD', K'awaited', name) end
    end
    left[queue] = here and on_all and math.min(here, on_all) or here or on_all or false
  end
  return left[queue] or nil
end

local function fits(patterns, name)
  for _, pattern in ipairs(patterns) do
    if pattern == name or (sub(pattern, -1) == '*' and sub(name, 1, #pattern - 1) == sub(pattern, 1, -2)) then return true end
  end
  return false
end

-- Whether the node takes from this queue, and the present share is for it.
local function is_meant(queue)
  local name = byte(queue) == 48 and 'default' or sub(queue, 2)
  if wish.only and ((wish.only[1] and not fits(wish.only, name)) or fits(wish.except, name)) then return false end
  return not scope or (scope.of[name] or false) ~= scope.but
end

local function is_open(lane)
  local queue = queue_of(lane)
  return not (served and not served[string.match(lane, '%z(.*)$')]) and (not wish or is_meant(queue)) and left_of(queue) ~= 0
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

-- What comes first in these lanes from this time on, in order and before another one, at most so many: members, their lanes and their
-- times. If there is only one lane it is said, too, and no time is told.
local function first_of(since, many, is_shared)
  local open, before = due_lanes(since, many)
  local members, lanes, times = {}, {}, {}
  if #open == 1 and not before and since == '-inf' and not is_shared then
    -- Nothing has to be merged, so nobody needs the times.
    local only = open[1]
    members = call('ZRANGEBYSCORE', K('lane:' .. only), since, until_then, 'LIMIT', 0, many)
    if not members[1] then touched[only] = true end
    for n = 1, #members do lanes[n] = only end
    return members, lanes, times, only
  end
  local each, found, bound = #open < 4 and many or math.max(4, 2 * math.ceil(many / #open)), {}, nil
  for _, lane in ipairs(open) do
    local part = call('ZRANGEBYSCORE', K('lane:' .. lane), since, until_then, 'WITHSCORES', 'LIMIT', 0, each)
    -- Whose first is not what it was noted to be is noted anew.
    if not part[1] then touched[lane] = true end
    for n = 1, #part, 2 do found[#found + 1] = { tonumber(part[n + 1]), part[n], lane } end
    -- What follows in this lane is not known: nothing goes further than this.
    local last = #part == 2 * each and found[#found]
    if last and not (bound and is_before(bound, last)) then bound = last end
  end
  if #open > 1 then table.sort(found, is_before) end
  for n, place in ipairs(found) do
    if (bound and is_before(bound, place)) or (before and place[1] >= before) then break end
    times[n], members[n], lanes[n] = place[1], place[2], place[3]
  end
  return members, lanes, times
end

-- What is claimed: names, their lanes, their jobs if those allow one run at a time, records.
local taken, taken_in, taken_for, records = {}, {}, {}, {}
local gone, gone_from, busy, of_queues = {}, {}, {}, {}

-- The records of triggers and runs.
local function records_of(names)
  if is_run(table.concat(names)) then return call('HMGET', K'runs', unpack(names)) end
  local of = { triggers = {}, runs = {} }
  for _, name in ipairs(names) do
    local all = is_run(name) and of.runs or of.triggers
    all[#all + 1] = name
  end
  if #of.runs == 0 then return call('HMGET', K'triggers', unpack(names)) end
  local by_name, found = {}, {}
  for hash, all in pairs(of) do
    for n, record in ipairs(call('HMGET', K(hash), unpack(all))) do by_name[all[n]] = record end
  end
  for n, name in ipairs(names) do found[n] = by_name[name] end
  return found
end

-- The jobs of those that run alone.
local function jobs_of(names, found)
  local jobs = {}
  if call('HLEN', K'alone') == 0 then return jobs end
  for n, record in ipairs(found) do
    if record and (byte(record, 11) or 0) % 2 == 1 then
      local job = call('HGET', K'alone', names[n])
      jobs[n] = job
      if job then
        check('ql:' .. job)
        for _, lane in ipairs(call('SMEMBERS', K('ql:' .. job))) do check(waiting_of(lane, job), 'lane:' .. lane) end
      end
    end
  end
  return jobs
end

-- A job that allows one run at a time is held: what waits for it leaves the lanes.
local function hold(job, lane, member)
  busy[job] = true
  call('ZREM', K(waiting_of(lane, job)), member)
  for _, other in ipairs(call('SMEMBERS', K('ql:' .. job))) do
    local first = call('ZRANGE', K(waiting_of(other, job)), 0, 0)
    if first[1] then call('ZREM', K('lane:' .. other), first[1]) end
    touched[other] = true
  end
end

-- They leave their lanes. Those that come first in one leave it by their rank.
local function leave(members, lanes, only)
  if only then
    call('ZREMRANGEBYRANK', K('lane:' .. only), 0, #members - 1)
    touched[only] = true
    return
  end
  local of = {}
  for n, lane in ipairs(lanes) do
    local all = of[lane] or {}
    of[lane], all[#all + 1] = all, members[n]
  end
  for lane, all in pairs(of) do
    call('ZREM', K('lane:' .. lane), unpack(all))
    touched[lane] = true
  end
end

-- The gates, at the time that the node says it is.
local function at_gates()
  local all = gates()
  all.now = all.now or tonumber(now)
  return all
end

-- How many were parked at gates. After so many the node is to ask again at once, so that no call takes long.
local parked, MOST_PARKED = 0, 100

-- Runs that have found a gate full and have not waited before: record, gate, and if only one of them is to wait all that do.
local limited = {}

-- The gates of those that have some, and how many have the same; nothing if none has.
local function gates_in(lanes, found)
  local of, many_of, own, head, last, lane
  local many = 0
  for n = 1, #lanes do
    local record = found[n]
    -- Runs of one lane mostly begin alike, from the byte that says what they are.
    if record and not (head and lanes[n] == lane and sub(record, 9, last) == head) then
      if own then many_of[own] = (many_of[own] or 0) + many end
      own, last, lane, many = nil, 12, lanes[n], 0
      if is_gated(record) then
        of, many_of = of or {}, many_of or {}
        own, last = at_gates().of(record)
        for _, gate in ipairs(own) do at_gates().check(gate[1], lane) end
        if own.fair then at_gates().check(at_gates().turns_of(lane, own.fair), lane) end
      end
      head = sub(record, 9, last)
    end
    if record and own then of[n], many = own, many + 1 end
  end
  if own then many_of[own] = (many_of[own] or 0) + many end
  return of, many_of
end

-- Whether the run finds no room at a gate, and is parked there. The next one of its job comes up in its place.
local function must_wait(name, lane, member, of_run, job, offers, record)
  local gate = at_gates().enter(name, lane, member, of_run)
  if not gate then return false end
  local time = call('ZSCORE', K('lane:' .. lane), member)
  parked = parked + 1
  if job then
    call('ZREM', K(waiting_of(lane, job)), member)
    offers[#offers + 1] = { lane, job }
  end
  if time and not at_gates().park(name, lane, member, time, gate[1]) then
    limited[#limited + 1] = { name, record, gate[1], string.find(gate[6], '[no]') and '' or nil }
  end
  return true
end

-- Claims those that can be claimed. What cannot be leaves its lane, too: it stands in the waiting list of its job, waits at a gate, or is
-- destroyed. Behind the first with a fair key only those of the same time: the next one of its key comes up before what is later. Answers
-- how many were looked at.
local function claim(members, lanes, times, only)
  local names = {}
  for n, member in ipairs(members) do names[n] = sub(member, 5) end
  local found = records_of(names)
  local jobs, many = jobs_of(names, found), #taken
  local gated, many_of = gates_in(lanes, found)
  local offers = {}
  local is_whole = many == 0 and not limits and not next(jobs)
  for n = 1, #names do is_whole = is_whole and found[n] end
  -- Where all find room there is nothing to choose.
  if gated then is_whole = is_whole and at_gates().enter_all(names, many_of) end
  if is_whole then
    taken, taken_in, records = names, lanes, found
    names = {}
  end
  local bound
  for n, name in ipairs(names) do
    local record, job, lane = found[n], jobs[n], lanes[n]
    if bound and times[n] > bound then
      for later = #members, n, -1 do members[later], lanes[later] = nil, nil end
      break
    end
    if gated and gated[n] and gated[n].fair then bound = bound or times[n] end
    if not record then
      gone[#gone + 1], gone_from[#gone + 1] = name, lane
    elseif job and (busy[job] or call('HEXISTS', K'busy', job) == 1) then
      -- Whoever waits behind it at a gate need not wait for its job.
      if gated and gated[n] then at_gates().forget_limit(name, lane, members[n]) end
    elseif gated and gated[n] and must_wait(name, lane, members[n], gated[n], job, offers, record) then
      -- It was parked.
    else
      if job then hold(job, lane, members[n]) end
      many = many + 1
      taken[many], taken_in[many], taken_for[many], records[many] = name, lane, job or nil, record
      if limits then
        local queue = queue_of(lane)
        if left_of(queue) then left[queue] = left[queue] - 1 end
      end
    end
  end
  -- Something beside them may have left this lane meanwhile.
  leave(members, lanes, (is_whole or not (next(jobs) or gated)) and only)
  for _, offer in ipairs(offers) do
    if not busy[offer[2]] then
      offer_in(offer[1], offer[2])
      at_gates().lanes[offer[1]] = true
    end
  end
  if gated then at_gates().open() end
  note_lanes()
  return #members
end

-- Those for which there is room, their lanes and times, and whether the share of late ones is used up.
local function choose(members, lanes, times, is_shared)
  local chosen, chosen_in, chosen_at, of_queue = {}, {}, {}, {}
  for n, member in ipairs(members) do
    local is_late, queue = is_shared and times[n] < late, queue_of(lanes[n])
    if is_late and share == 0 then return chosen, chosen_in, chosen_at, true end
    if #chosen == goal - #taken then break end
    local room = left_of(queue)
    if not (room and room <= (of_queue[queue] or 0)) then
      of_queue[queue] = (of_queue[queue] or 0) + 1
      chosen[#chosen + 1], chosen_in[#chosen_in + 1], chosen_at[#chosen + 1] = member, lanes[n], times[n]
      if is_late then share = share - 1 end
    end
  end
  return chosen, chosen_in, chosen_at, false
end

-- From this time on; with `is_shared` only as many late ones as their share. Says whether that is used up.
local function pass(since, is_shared)
  -- Each step takes something out of a lane, or is the last one.
  for _ = 1, PART do
    if #taken == goal or parked >= MOST_PARKED then return false end
    local is_used = false
    local members, lanes, times, only = first_of(since, goal - #taken, is_shared)
    -- Where nothing limits them there is nothing to choose.
    if limits or not only then members, lanes, times, is_used = choose(members, lanes, times, is_shared) end
    local many = #members
    local looked_at = many > 0 and claim(members, lanes, times, only) or 0
    for n = looked_at + 1, many do
      if is_shared and times[n] < late then share, is_used = share + 1, false end
    end
    if is_used or many == 0 then return is_used end
  end
end

-- Late ones up to what is left of their share, then those that are punctual, then the other late ones.
local function take()
  if late and not pass('-inf', true) then return end
  if late then pass(text(late), false) end
  pass('-inf', false)
end

-- What the shares of the request are for, each as far as there is work.
local function take_shares()
  for _, part in ipairs(wish.shares) do
    scope, goal = { of = {}, but = part.but }, math.min(most, #taken + part.most)
    for _, name in ipairs(part.of) do scope.of[name] = true end
    take()
  end
  scope, goal = nil, most
end

-- What has left these lanes waits no longer.
local function note_taken(names, lanes)
  for n, name in ipairs(names) do
    if byte(lanes[n]) == 49 then note_waiting('SREM', sub(queue_of(lanes[n]), 2), name) end
  end
end

-- Whether somebody was let out whom this node does not take.
local function is_for_others()
  for lane in pairs(gates_of_call.lanes) do
    if #taken == most or not is_open(lane) then return true end
  end
  return false
end

local function tell_others(session)
  call('HSET', K'meta', 'ver', text((tonumber(call('HGET', K'meta', 'ver') or '') or 0) + 1))
  call('PUBLISH', K'wake', session)
end

local function note_claims()
  local base = count(PLACES, nil, PLACES)
  local bundle = text((base + 1) / PLACES)
  local claims, at, names, of_queue = {}, {}, table.concat(taken), {}
  if not is_run(names) then
    -- Triggers, whose claims have their records.
    local runs = {}
    for n, name in ipairs(taken) do
      runs[n] = is_run(name) and name or BLANK
      if runs[n] == BLANK then
        local id = session .. '-' .. bundle .. DIGITS[n]
        claims[#claims + 1], claims[#claims + 2], at[#at + 1], at[#at + 2] = id, records[n], name, id
      end
    end
    names = table.concat(runs)
  end
  if string.find(names, '[^ ]') then claims[#claims + 1], claims[#claims + 2] = bundle, names end
  local last, queue
  for n = 1, #taken do
    local lane = taken_in[n]
    if lane ~= last then last, queue = lane, byte(lane) == 49 and sub(queue_of(lane), 2) or '' end
    of_queues[n] = queue
    if queue ~= '' then of_queue[queue] = (of_queue[queue] or 0) + 1 end
  end
  if not next(of_queue) then of_queues = {} end
  call('SADD', K'homes', session)
  call('HSET', K('cl:' .. session), unpack(claims))
  if at[1] then call('HSET', K'at', unpack(at)) end
  for n, job in pairs(taken_for) do call('HSET', K'busy', job, session .. '-' .. bundle .. DIGITS[n]) end
  left = {}
  for queue, many in pairs(of_queue) do
    call('HSET', K'queues', queue, text((tonumber(call('HGET', K'queues', queue) or '') or 0) + many))
    -- What the node has of its own limit is gone, too.
    if limits and limits.named[queue] then limits.named[queue] = limits.named[queue] - many end
  end
  if limits and limits.default then
    for _, lane in ipairs(taken_in) do
      if byte(lane) == 48 then limits.default = limits.default - 1 end
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
  local rung = ARGV[12] == '1' and call('ZRANGEBYSCORE', K'alarms', '-inf', now, 'LIMIT', 0, MOST_RUNG) or {}
  if rung[1] and at_gates().ring(rung) then
    note_lanes()
    if next(gates_of_call.lanes) then tell_others(session) end
    return { 'alarm', run }
  end
  check('triggers', 'runs', 'cl:' .. session, 'at', 'homes', 'busy', 'alone', 'queues', 'awaited', 'lanes', 'stop:' .. session)
  if ARGV[10] ~= '' then
    served = {}
    for _, name in ipairs(cjson.decode(ARGV[10])) do served[name] = true end
  end
  limits, left = ARGV[11] ~= '' and cjson.decode(ARGV[11]), {}
  local due = call('ZRANGE', K'lanes', 0, 0, 'WITHSCORES')[2]
  -- As long as nothing is late there is nothing to share.
  if due and late and tonumber(due) >= late then late = nil end
  if most > 0 and due then
    if wish then take_shares() end
    take()
  end
  note_lanes()
  local base, versions = '', {}
  if #taken > 0 then
    base, versions = note_claims(), call('HMGET', K'meta', 'jv', 'mark')
    mark = versions[2]
    if mark then note_taken(taken, taken_in) end
    if mark then note_taken(gone, gone_from) end
  end
  local first = next_lane()
  local next_due = first and tonumber(call('ZSCORE', K'lanes', first))
  if parked >= MOST_PARKED then next_due = tonumber(now) end
  if gates_of_call and is_for_others() then tell_others(session) end
  for _, run in ipairs(limited) do
    if run[4] then run[4] = at_gates().waiting_at(run[3]) end
  end
  local alarm = tonumber(call('ZRANGE', K'alarms', 0, 0, 'WITHSCORES')[2] or '')
  if alarm and not (next_due and next_due < alarm) then next_due = alarm end
  return {
    'ok', run, base, next_due and text(math.floor(next_due)) or '', text(share or 0), call('HGETALL', K('stop:' .. session)), records, gone,
    versions[1] or '', of_queues, limited,
  }
end)

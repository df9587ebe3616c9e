-- Writes rows and what follows from them, if all that was gone by is still the same; all of it or nothing.
--
-- ARGV: sender; number of a change of a user, the first that is still waited for and those after it that were given up, or nothing; epoch that the node knows, or nothing; a session that must not
-- have told yet what it knows, or nothing; whether only this process need hear of what can be claimed; then operations: a name, a
-- key, how many words, the words. Checks come first. Answers: what has become of it, the epoch, the numbers of the checks that failed,
-- whether somebody may have to look.
local sender, order, known, teller, quiet = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1'
local loud = false

local wrong, checked = {}, 0
local function compare(is_same)
  checked = checked + 1
  if not is_same then wrong[#wrong + 1] = checked end
end

-- The words from `from` on, so many, as one column of rows that are so wide.
local function column(from, many, width)
  local words, n = {}, 0
  for at = from, from + many - 1, width do
    n = n + 1
    words[n] = ARGV[at]
  end
  return words
end

-- Calls a command with many words, in parts of whole rows.
local function each(width, command, key, from, many)
  local step = MANY - MANY % width
  for first = from, from + many - 1, step do
    call(command, K(key), unpack(ARGV, first, math.min(first + step - 1, from + many - 1)))
  end
end

local function values_of(hash, fields)
  if #fields <= MANY then return call('HMGET', K(hash), unpack(fields)) end
  local values = {}
  for first = 1, #fields, MANY do
    for _, value in ipairs(call('HMGET', K(hash), unpack(fields, first, math.min(first + MANY - 1, #fields)))) do
      values[#values + 1] = value
    end
  end
  return values
end

local byte, sub = string.byte, string.sub
-- A value that is shorter than a version counts as absent.
local function is_version(record, version) return (record and #record >= 8 and sub(record, 1, 8) or '') == version end

local checks = {}

-- Rows of a hash: key, version or nothing.
function checks.is(hash, from, many)
  local found = values_of(hash, column(from, many, 2))
  is_fine[hash] = true
  for n = 1, #found do compare(is_version(found[n], ARGV[from + 2 * n - 1])) end
end

-- New rows: name, record. A row of this name must not exist.
local function prepare_add(hash, from, many)
  local found = values_of(hash, column(from, many, 2))
  is_fine[hash] = true
  for n = 1, #found do compare(is_version(found[n], '')) end
end

-- Bundles as they are and are going to be, and the names that were found in them.
local bundles, found_in = {}, {}

local function bundle_of(hash, field)
  local key = hash .. '/' .. field
  if not bundles[key] then bundles[key] = call('HGET', K(hash), field) or '' end
  return bundles[key], key
end

-- Bundle, places: claims in it.
function checks.held(hash, from, many)
  for at = from, from + many - 1, 2 do
    local bundle, key = bundle_of(hash, ARGV[at])
    local places, names = ARGV[at + 1], {}
    for n = 1, #places do
      names[n] = named(bundle, byte(places, n)) or ''
      compare(names[n] ~= '')
    end
    found_in[key] = { places, names }
  end
end

local ops = {}
-- Plain commands, and how many words are one row.
local PLAIN = { add = 2, HSET = 2, HDEL = 1, ZADD = 2, ZREM = 1, SADD = 1, SREM = 1, SET = 1 }

local function now_in(lane)
  touched[lane] = true
  entered[lane] = not quiet or nil
end

local is_marked = false
-- Whether runs of queues are counted at all. It is asked for if something of a queue comes or goes.
local function has_mark()
  if not is_marked then
    local found = redis.pcall('GET', K'measured')
    is_marked, mark = true, type(found) == 'string' and found or nil
  end
  return mark
end

-- What stands in lanes of queues comes or goes: members, in rows that are so wide.
local function note_members(command, lane, from, many, width)
  if byte(lane) ~= 49 or not has_mark() then return end
  local queue = string.match(lane, '^1([^%z]*)')
  for at = from, from + many - 1, width do note_waiting(command, queue, sub(ARGV[at], 5)) end
end

-- Time, member.
function ops.stand(lane, from, many)
  each(2, 'ZADD', 'lane:' .. lane, from, many)
  note_members('SADD', lane, from + 1, many - 1, 2)
  now_in(lane)
end

-- Bundle, places in their order: blanks from now on.
local function blank(hash, field, places)
  local bundle, key = bundle_of(hash, field)
  local left = ''
  if NAME * #places < #bundle then
    local pieces, at = {}, 1
    for n = 1, #places do
      local before = NAME * byte(places, n)
      pieces[2 * n - 1], pieces[2 * n], at = sub(bundle, at, before), BLANK, before + NAME + 1
    end
    left = table.concat(pieces) .. sub(bundle, at)
  end
  bundles[key] = left
  if string.find(left, '[^ ]') then call('HSET', K(hash), field, left) else call('HDEL', K(hash), field) end
end

-- Claims whose runs leave nothing. They were looked for by `held`.
function ops.over(hash, from, many)
  for at = from, from + many - 1, 2 do
    local field, places = ARGV[at], ARGV[at + 1]
    local _, key = bundle_of(hash, field)
    local known, names = found_in[key], {}
    if known[1] == places then
      names = known[2]
    else
      for n = 1, #places do names[n] = named(bundles[key], byte(places, n)) or '' end
    end
    blank(hash, field, places)
    call('HDEL', K'runs', unpack(names))
  end
end

-- A commit removes at most so many firing records more than it adds.
local MORE = 8 * CHUNK

local last_firing, first_firing, firing_bytes

local function chunk_of(number) return math.floor((number - 1) / CHUNK) end

local function prepare_firings(entries)
  last_firing, first_firing, firing_bytes = firings_kept()
  check('firings')
  local chunk, is_begun = chunk_of(last_firing + 1), last_firing % CHUNK > 0
  for n = chunk, chunk_of(last_firing + #entries / ENTRY) + 1 do check('fr:' .. text(n)) end
  -- A chunk that somebody has changed is given up: records behind the damage would not be found.
  if is_begun and call('STRLEN', K('fr:' .. text(chunk))) ~= HEAD + firing_bytes then last_firing = (chunk + 1) * CHUNK end
end

-- The length of `many` records together, from the entry `at` on.
local function bytes_of(entries, at, many)
  local bytes = 0
  for index = at, at + many - 1 do bytes = bytes + length_of(entries, index) end
  return bytes
end

-- Appends records: their entries, then the records. The last `keep` records stay.
function ops.firings(keep, from)
  local entries, records = ARGV[from], ARGV[from + 1]
  local many, at, behind = #entries / ENTRY, 0, 0
  while at < many do
    local chunk, index = chunk_of(last_firing + 1), last_firing % CHUNK
    local fits = math.min(CHUNK - index, many - at)
    local bytes = at + fits == many and #records - behind or bytes_of(entries, at, fits)
    local key = 'fr:' .. text(chunk)
    if index == 0 then
      -- A chunk of this number may be left over from before the numbers were destroyed.
      call('DEL', K(key))
      call('SADD', K'firings', text(chunk))
      firing_bytes = 0
    end
    call('SETRANGE', K(key), index * ENTRY, sub(entries, at * ENTRY + 1, (at + fits) * ENTRY))
    call('SETRANGE', K(key), HEAD + firing_bytes, sub(records, behind + 1, behind + bytes))
    last_firing, firing_bytes, at, behind = last_firing + fits, firing_bytes + bytes, at + fits, behind + bytes
  end
  local first = math.max(first_firing, math.min(last_firing - tonumber(keep) + 1, first_firing + many + MORE))
  for chunk = chunk_of(first_firing), chunk_of(first) - 1 do
    call('DEL', K('fr:' .. text(chunk)))
    call('SREM', K'firings', text(chunk))
  end
  call('HSET', K'meta', 'fl', text(last_firing), 'ff', text(first), 'fb', text(firing_bytes))
end

-- Gate, by how much its use changes.
function ops.gate(_, from, many)
  for at = from, from + many - 1, 2 do
    gates().use(ARGV[at], tonumber(ARGV[at + 1]))
    gates().look_at(ARGV[at])
  end
end

function ops.wake() woken = true end
function ops.cry() woken, loud = true, true end
-- Names of runs whose end clients may wait for.
function ops.ended(_, from, many)
  call('PUBLISH', K'wake', 'ended ' .. table.concat(ARGV, ' ', from, from + many - 1))
end

-- What few commits need. To define it costs as much as some commands, so it is defined when it is asked for.
local function define()
  -- As `held`; claims that are not in it.
  function checks.unheld(hash, from, many)
    for at = from, from + many - 1, 2 do
      local bundle, places = bundle_of(hash, ARGV[at]), ARGV[at + 1]
      for n = 1, #places do compare(not named(bundle, byte(places, n))) end
    end
  end

  -- Runs that nobody has claimed: where it stands, if it stands anywhere, and its name.
  function checks.unclaimed(zset, from, many)
    for at = from, from + many - 1, 2 do
      compare((zset ~= '' and call('ZSCORE', K(zset), ARGV[at])) or not claim_of(ARGV[at + 1]))
    end
  end

  function checks.none(key) compare(call('EXISTS', K(key)) == 0) end

  function checks.only(key, from) compare(is_version(call('GET', K(key)), ARGV[from])) end

  local function begin_with(zset, begin) return call('ZLEXCOUNT', K(zset), '[' .. begin, '(' .. begin .. '\255') end

  -- So many members begin with this: begin, count.
  function checks.count(zset, from, many)
    for at = from, from + many - 1, 2 do compare(begin_with(zset, ARGV[at]) == tonumber(ARGV[at + 1])) end
  end

  -- As `count`; at least so many.
  function checks.several(zset, from, many)
    for at = from, from + many - 1, 2 do compare(begin_with(zset, ARGV[at]) >= tonumber(ARGV[at + 1])) end
  end

  -- Adds the runs of a sorted set to those that wait in a queue.
  local function count_runs(key, zset)
    check(zset)
    for _, member in ipairs(call('ZRANGE', K(zset), 0, -1)) do
      local name = sub(member, 5)
      if is_run(name) then call('SADD', K(key), name) end
    end
  end

  -- Counts the runs that wait in a queue. That is done once for each queue, and again if the mark is lost.
  local function count_waiting(queue, key)
    local begin = '1' .. queue .. '\0'
    local function is_of_queue(lane) return sub(lane, 1, #begin) == begin end
    call('DEL', K(key))
    call('SADD', K(key), mark)
    call('SADD', K'lengths', queue)
    for _, lane in ipairs(call('ZRANGE', K'lanes', 0, -1)) do
      if is_of_queue(lane) then count_runs(key, 'lane:' .. lane) end
    end
    local jobs, alone = {}, call('HGETALL', K'alone')
    for n = 2, #alone, 2 do jobs[alone[n]] = true end
    for job in pairs(jobs) do
      check('ql:' .. job)
      for _, lane in ipairs(call('SMEMBERS', K('ql:' .. job))) do
        if is_of_queue(lane) then count_runs(key, waiting_of(lane, job)) end
      end
    end
    local of_gates, parked = {}, call('HGETALL', K'parked')
    for n = 2, #parked, 2 do of_gates[sub(parked[n], 2)] = true end
    for gate in pairs(of_gates) do
      check('gl:' .. gate)
      for _, lane in ipairs(call('SMEMBERS', K('gl:' .. gate))) do
        if is_of_queue(lane) then count_runs(key, gates().list_of(lane, gate)) end
      end
    end
    local later = call('HGETALL', K'later')
    for n = 1, #later, 2 do
      if later[n + 1] == queue then call('SADD', K(key), later[n]) end
    end
    counted[queue] = true
  end

  -- So many runs wait in a queue at most.
  function checks.room(queue, from)
    local key = 'wait:' .. queue
    check('measured', 'lengths', 'later', 'lanes', 'alone', 'parked', key)
    -- The mark has two places, since each script looks where it looks anyway. If one is lost, all is counted anew.
    if not has_mark() or mark ~= call('HGET', K'meta', 'mark') then
      mark, counted = text(count(1) + 1), {}
      call('SET', K'measured', mark)
      call('HSET', K'meta', 'mark', mark)
    end
    if not is_counted(queue) then count_waiting(queue, key) end
    compare(call('SCARD', K(key)) - 1 <= tonumber(ARGV[from]))
  end

  -- The counters of a batch, in their order; or one empty word: something is pending.
  local COUNTERS = { 'total', 'pending', 'succeeded', 'discarded', 'dead', 'cancelled', 'expired', 'skipped' }
  function checks.counts(key, from, many)
    local found = call('HMGET', K(key), unpack(COUNTERS))
    -- Where nothing is known something counts as pending.
    local is_same = many > 1 or not found[1] or (tonumber(found[2] or '0') or 1) > 0
    for n = 1, many > 1 and many or 0 do is_same = is_same and (found[n] or '0') == ARGV[from + n - 1] end
    compare(is_same)
  end

  -- For an audit. A run, and whether it waits in the queue unless it is claimed.
  function checks.waits(queue, from, many)
    if not has_mark() or not is_counted(queue) then
      for _ = 1, many, 2 do compare(true) end
      return
    end
    for at = from, from + many - 1, 2 do
      local waits = ARGV[at + 1] == '1' and not claim_of(ARGV[at])
      compare((call('SISMEMBER', K('wait:' .. queue), ARGV[at]) == 1) == waits)
    end
  end

  -- For an audit. Member, score or nothing.
  function checks.score(zset, from, many)
    for at = from, from + many - 1, 2 do compare((call('ZSCORE', K(zset), ARGV[at]) or '') == ARGV[at + 1]) end
  end

  -- Field, value or nothing.
  function checks.value(hash, from, many)
    for n, value in ipairs(values_of(hash, column(from, many, 2))) do compare((value or '') == ARGV[from + 2 * n - 1]) end
  end

  function checks.has(set, from, many)
    for at = from, from + many - 1 do compare(call('SISMEMBER', K(set), ARGV[at]) == 1) end
  end

  -- What is claimed or held is so by a claim that is there, also by one that is to be given back.
  function checks.owned(hash, from, many)
    local function is_there(claim)
      local session = string.match(claim, '^%d+') or ''
      local bundle, place = string.match(claim, '%-(%d-)(%d?%d)$')
      local function is_in(hash)
        if call('HEXISTS', K(hash), claim) == 1 then return true end
        return place and named(call('HGET', K(hash), bundle) or '', tonumber(place)) ~= nil
      end
      if is_in('cl:' .. session) then return true end
      for _, orphan in ipairs(call('SMEMBERS', K'orphans')) do
        local is_of_session = string.match(orphan, '^%d+') == session
        if is_of_session and is_in('orphan:' .. orphan) then return true end
      end
      return false
    end
    for _, claim in ipairs(values_of(hash, column(from, many, 1))) do compare(not claim or is_there(claim)) end
  end

  -- Whether a lane is noted with the time of its first.
  function checks.lane(lane)
    compare((call('ZSCORE', K'lanes', lane) or '') == (call('ZRANGE', K('lane:' .. lane), 0, 0, 'WITHSCORES')[2] or ''))
  end

  -- Whether it stands in its lane by this time, or among those of its job, or is parked.
  local function is_placed(lane, job, time, member, parked)
    local stands = call('ZSCORE', K('lane:' .. lane), member) or ''
    if byte(parked) == 112 then
      local gate = sub(parked, 2)
      local waits = call('ZSCORE', K(gates().list_of(lane, gate)), member) or ''
      local is_listed = call('SISMEMBER', K('gl:' .. gate), lane) == 1
      return stands == '' and time ~= '' and waits == time and is_listed
    elseif job == '' then
      return stands == time
    end
    local list = waiting_of(lane, job)
    local waits = call('ZSCORE', K(list), member) or ''
    local is_next = call('ZRANGE', K(list), 0, 0)[1] == member and call('HEXISTS', K'busy', job) == 0
    return waits == time and stands == (is_next and time or '') and (time == '' or call('SISMEMBER', K('ql:' .. job), lane) == 1)
  end

  -- Whether a run with a fair key waits for its turn, or has one and is placed by that.
  local function is_in_turn(lane, job, due, member, name, key, parked)
    local gate, queue = gates().turns_of(lane, key), string.match(lane, '^[^%z]*')
    local turn = call('ZSCORE', K('ft:' .. gate), name)
    if due == '' then return not turn and parked == '' and is_placed(lane, job, '', member, '') end
    if not turn then return parked == 'p' .. gate and is_placed(lane, job, due, member, parked) end
    local is_known = call('ZSCORE', K('fd:' .. queue), name .. key) == due and call('HEXISTS', K'fv', queue) == 1
    return is_known and parked ~= 'p' .. gate and is_placed(lane, job, turn, member, parked)
  end

  -- Where something stands: its job if that allows one run at a time, time or nothing, member, name, and `f` and its fair key, or nothing.
  function checks.place(lane, from, many)
    for at = from, from + many - 1, 5 do
      local job, member, name, fair = ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
      local due = claim_of(name) and '' or ARGV[at + 1]
      local parked = call('HGET', K'parked', name) or ''
      if fair ~= '' then
        compare(is_in_turn(lane, job, due, member, name, sub(fair, 2), parked))
      else
        compare(is_placed(lane, job, due, member, parked))
      end
    end
  end

  function ops.leave(lane, from, many)
    each(1, 'ZREM', 'lane:' .. lane, from, many)
    note_members('SREM', lane, from, many, 1)
    touched[lane] = true
  end

  -- Time, member, trigger: but for those that are claimed.
  function ops.shift(lane, from, many)
    for at = from, from + many - 1, 3 do
      if not claim_of(ARGV[at + 2]) then
        call('ZADD', K('lane:' .. lane), ARGV[at], ARGV[at + 1])
        note_members('SADD', lane, at + 1, 1, 1)
        now_in(lane)
      end
    end
  end

  -- Job, claim: held by a claim that was forgotten. What waits for the job leaves the lanes.
  function ops.hold(_, from, many)
    for at = from, from + many - 1, 2 do
      local job = ARGV[at]
      call('HSET', K'busy', job, ARGV[at + 1])
      for _, lane in ipairs(call('SMEMBERS', K('ql:' .. job))) do
        local first = call('ZRANGE', K(waiting_of(lane, job)), 0, 0)[1]
        if first then call('ZREM', K('lane:' .. lane), first) end
        touched[lane] = true
      end
    end
  end

  -- Of jobs that allow one run at a time: job, member.
  function ops.leave_alone(lane, from, many)
    for at = from, from + many - 1, 2 do
      local job, member = ARGV[at], ARGV[at + 1]
      call('ZREM', K(waiting_of(lane, job)), member)
      note_members('SREM', lane, at + 1, 1, 1)
      local stood, list = call('ZREM', K('lane:' .. lane), member) == 1, waiting_of(lane, job)
      local may_offer = stood and call('HEXISTS', K'busy', job) == 0
      if may_offer or call('EXISTS', K(list)) == 0 then offer_in(lane, job) end
      touched[lane] = true
    end
  end

  -- Job, time, member, and a trigger that is left where it is if it is claimed.
  function ops.stand_alone(lane, from, many)
    for at = from, from + many - 1, 4 do
      local job, time, member = ARGV[at], ARGV[at + 1], ARGV[at + 2]
      if ARGV[at + 3] == '' or not claim_of(ARGV[at + 3]) then
        if stand_in_list(lane, job, time, member) then now_in(lane) end
        note_members('SADD', lane, at + 2, 1, 1)
      end
    end
  end

  -- Job, claim: free, if this was what held it.
  function ops.free(_, from, many)
    for at = from, from + many - 1, 2 do
      local job = ARGV[at]
      if call('HGET', K'busy', job) == ARGV[at + 1] then
        call('HDEL', K'busy', job)
        for _, lane in ipairs(call('SMEMBERS', K('ql:' .. job))) do offer_in(lane, job) end
      end
    end
  end

  -- Time, name: alarms of runs that wait. Nodes hear of one that comes first.
  function ops.alarm(zset, from, many)
    each(2, 'ZADD', zset, from, many)
    local first = call('ZRANGE', K(zset), 0, 0)[1]
    for at = from, from + many - 1, 2 do
      if ARGV[at + 1] == first then woken = true end
    end
  end

  -- Counter, amount: counters of a batch that is there. It rings if nothing is pending, or if the first run is dead.
  function ops.tally(key, from, many)
    if call('EXISTS', K(key)) == 0 then return end
    local was_dead = tonumber(call('HGET', K(key), 'dead') or '') or 0
    -- A counter that is no number is left to an audit.
    for at = from, from + many - 1, 2 do redis.pcall('HINCRBY', K(key), ARGV[at], ARGV[at + 1]) end
    local now = call('HMGET', K(key), 'pending', 'dead')
    local pending, dead = tonumber(now[1] or '') or 0, tonumber(now[2] or '') or 0
    if pending <= 0 or (dead > 0 and was_dead <= 0) then
      call('ZADD', K'alarms', 0, 'b' .. sub(key, 4))
      woken = true
    end
  end

  -- Names of boosted runs that are not due.
  function ops.later(queue, from, many)
    for at = from, from + many - 1 do
      call('HSET', K'later', ARGV[at], queue)
      if has_mark() then note_waiting('SADD', queue, ARGV[at]) end
    end
  end

  -- Names of runs that are due, or wait no longer.
  function ops.arrive(queue, from, many)
    for at = from, from + many - 1 do
      call('HDEL', K'later', ARGV[at])
      if has_mark() then note_waiting('SREM', queue, ARGV[at]) end
    end
  end

  -- Claims that are over, or have a record.
  function ops.unname(hash, from, many)
    for at = from, from + many - 1, 2 do blank(hash, ARGV[at], ARGV[at + 1]) end
  end

  -- Queue, by how many its claims change.
  function ops.queue(_, from, many)
    for at = from, from + many - 1, 2 do
      local queue = ARGV[at]
      local now = (tonumber(call('HGET', K'queues', queue) or '') or 0) + tonumber(ARGV[at + 1])
      if now > 0 then call('HSET', K'queues', queue, text(now)) else call('HDEL', K'queues', queue) end
      if call('SREM', K'awaited', queue) == 1 then woken, loud = true, true end
    end
  end

  -- Gate, weight, cap, window, burst, and when an attempt was to begin that has not begun.
  function ops.unbegin(_, from, many)
    for at = from, from + many - 1, 6 do
      local gate = { ARGV[at] }
      for n = 2, 5 do gate[n] = tonumber(ARGV[at + n - 1]) end
      gates().unbegin(gate, tonumber(ARGV[at + 5]))
    end
  end

  -- Limit or gate, what somebody has set for it.
  function ops.cap(_, from, many)
    for at = from, from + many - 1, 2 do gates().cap(ARGV[at], ARGV[at + 1]) end
  end

  -- Gate, before when nobody enters it.
  function ops.shut(_, from, many)
    for at = from, from + many - 1, 2 do gates().shut(ARGV[at], tonumber(ARGV[at + 1])) end
  end

  -- Name, member, and `f` and the fair key, or nothing: runs that leave this lane, or the gate at which they wait.
  function ops.unpark(lane, from, many)
    for at = from, from + many - 1, 3 do
      gates().forget(ARGV[at], lane, ARGV[at + 1])
      if ARGV[at + 2] ~= '' then gates().leave_turn(ARGV[at], lane, sub(ARGV[at + 2], 2), false) end
    end
  end

  -- Time, member, name, fair key, and the name again if the run is left where it is if it is claimed: runs that wait for their turns.
  function ops.line_up(lane, from, many)
    for at = from, from + many - 1, 5 do
      if ARGV[at + 4] == '' or not claim_of(ARGV[at + 4]) then
        local time, member, name, key = unpack(ARGV, at, at + 3)
        gates().park(name, lane, member, time, gates().turns_of(lane, key))
        note_members('SADD', lane, at + 1, 1, 1)
      end
    end
  end

  -- Names, each with its fair key: what has a turn in this queue and is not there.
  function ops.lose_turn(queue, from, many)
    for at = from, from + many - 1 do gates().lose_turn(sub(ARGV[at], 1, NAME), queue, sub(ARGV[at], NAME + 1)) end
  end

  -- Which keys an operation writes, beside its own; of those of jobs that allow one run, how wide their rows are.
  local OF_LANES = { 'lanes', 'at', 'busy' }
  local WRITES = { free = OF_LANES, hold = OF_LANES, queue = { 'queues', 'awaited' }, alarm = { 'alarms' }, tally = { 'alarms' }, unbegin = { 'alarms' }, shut = { 'shut', 'alarms' }, cap = { 'caps', 'alarms', 'limits' }, unpark = { 'parked' }, later = { 'later' }, arrive = { 'later' }, unname = {} }
  -- Which leave what is claimed where it is: how wide their rows are, which end with a name.
  local UNLESS_CLAIMED = { shift = 3, stand_alone = 4, line_up = 5 }
  local OF_GATES = { gate = 2, unbegin = 6, shut = 2, cap = 2, unpark = 3, line_up = 5 }
  local OF_JOBS = { leave_alone = 2, stand_alone = 4, free = 2, hold = 2 }

  -- Claims are looked for before anything is written.
  local function look_for_claims(name, from, many)
    local width = UNLESS_CLAIMED[name]
    for at = from + width - 1, from + many - 1, width do
      if ARGV[at] ~= '' then claim_of(ARGV[at]) end
    end
  end

  local function check_gates(name, lane, from, many)
    local width = OF_GATES[name]
    for at = from, from + many - 1, width do
      if name == 'line_up' then
        gates().check(gates().turns_of(lane, ARGV[at + 3]), lane)
      elseif name == 'unpark' then
        gates().check_noted(ARGV[at], lane)
        if ARGV[at + 2] ~= '' then gates().check(gates().turns_of(lane, sub(ARGV[at + 2], 2)), lane) end
      else
        gates().check(ARGV[at])
      end
    end
  end

  local function check_waiting(name, lane, from, many)
    for at = from, from + many - 1, OF_JOBS[name] do
      local job = ARGV[at]
      check('ql:' .. job)
      local lanes = call('SMEMBERS', K('ql:' .. job))
      lanes[#lanes + 1] = lane ~= '' and lane or nil
      for _, known in ipairs(lanes) do check(waiting_of(known, job), 'lane:' .. known) end
    end
  end

  -- Looks before anything is written at what an operation may write.
  function ops.prepare(name, key, from, many)
    if name == 'tally' then check(key) end
    if WRITES[name] then check(unpack(WRITES[name])) else check('lane:' .. key, unpack(OF_LANES)) end
    if OF_JOBS[name] then check_waiting(name, key, from, many) end
    for at = from, name == 'lose_turn' and from + many - 1 or 0 do gates().check('\2' .. key .. '\0' .. sub(ARGV[at], NAME + 1)) end
    if OF_GATES[name] then check_gates(name, key, from, many) end
    if UNLESS_CLAIMED[name] then look_for_claims(name, from, many) end
  end
end

local is_defined = false
local function find(of, name)
  if not is_defined then
    is_defined = true
    define()
  end
  return rawget(of, name)
end
setmetatable(checks, { __index = find })
setmetatable(ops, { __index = find })

-- A change takes effect once, and not after a later one if its caller has given it up: each says which ones those are.
local number, floor, noted, given_up = 0, 0, '', ''

local function is_late()
  -- The mark is read along. A key of the wrong kind looks absent here, and its own command names it.
  local found = call('MGET', P .. 'ad:' .. sender, P .. 'measured')
  noted, is_marked, mark = found[1] or call('GET', K('ad:' .. sender)) or '', true, found[2] or nil
  local first, least, others = string.match(order, '^(%d+) (%d+)([ %d]*)$')
  given_up, number, floor = others, tonumber(first), math.max(tonumber(least), tonumber(string.match(noted, '^%d+') or '') or 0)
  return number < floor or string.find(noted .. ' ', ' ' .. first .. ' ', 1, true) ~= nil
end

-- The first that may still take effect, and those after it which have, or which nobody waits for.
local function note_order()
  local done, words = { [number] = true }, {}
  for other in string.gmatch(noted .. given_up, ' (%d+)') do done[tonumber(other)] = true end
  while done[floor] do floor = floor + 1 end
  for other in pairs(done) do
    if other > floor then words[#words + 1] = ' ' .. text(other) end
  end
  local after = text(floor) .. table.concat(words)
  if after ~= noted then call('SET', K('ad:' .. sender), after, 'EX', 3600) end
end

return guarded(function()
  if order ~= '' and is_late() then return { 'late' } end
  local run = ''
  if known ~= '' then
    run = epoch()
    if run ~= known then return { 'epoch', run } end
  end
  if teller ~= '' and call('SISMEMBER', K'untold', teller) == 0 then return { 'told' } end
  local at, first = 7, nil
  while at <= #ARGV do
    local name, key, many = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    local is_op = PLAIN[name] or rawget(ops, name)
    if not is_op and checks[name] then
      checks[name](key, at + 3, many)
    else
      first = first or at
      if name == 'add' then
        prepare_add(key, at + 3, many)
      elseif PLAIN[name] then
        check(key)
      elseif name == 'stand' then
        check('lane:' .. key, 'lanes')
      elseif name == 'over' then
        check('runs')
      elseif name == 'firings' then
        prepare_firings(ARGV[at + 3])
      elseif name == 'gate' then
        for n = at + 3, at + 2 + many, 2 do gates().check(ARGV[n]) end
      elseif name ~= 'wake' and name ~= 'cry' and name ~= 'ended' then
        ops.prepare(name, key, at + 3, many)
      end
    end
    at = at + 3 + many
  end
  if order ~= '' then note_order() end
  if #wrong > 0 then return { 'changed', run, wrong } end
  at = first or at
  while at <= #ARGV do
    local many = tonumber(ARGV[at + 2])
    if ARGV[at + 1] == 'jobs' then call('HSET', K'meta', 'jv', text(count(1) + 1)) end
    local name, key = ARGV[at], ARGV[at + 1]
    if PLAIN[name] then
      each(PLAIN[name], name == 'add' and 'HSET' or name, key, at + 3, many)
    else
      ops[name](key, at + 3, many)
    end
    at = at + 3 + many
  end
  if gates_of_call then
    gates_of_call.open()
    -- Another node may have to take what is let out.
    if next(gates_of_call.lanes) then woken, loud = true, true end
  end
  note_lanes()
  if woken then
    call('HSET', K'meta', 'ver', text((tonumber(call('HGET', K'meta', 'ver') or '') or 0) + 1))
    if loud or not quiet then call('PUBLISH', K'wake', sender) end
  end
  return { 'done', run, {}, woken and '1' or '' }
end)

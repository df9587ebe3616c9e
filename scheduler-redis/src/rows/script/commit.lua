-- Writes rows and what follows from them, if all that was gone by is still the same; all of it or nothing.
--
-- ARGV: sender, number and floor of a change of a user or nothing, epoch that the node knows or nothing, whether others need not be
-- told of what can be claimed; then operations: a name, a key, how many, so many words. Checks come first.
-- Answers: what has become of it; the epoch; the numbers of the checks that failed; whether somebody may have to look.
local sender, order, known, quiet = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'

if order ~= '' then
  -- A call that its caller has given up must not take effect after a later one: each says which ones are still waited for.
  local number, floor = string.match(order, '^(%d+) (%d+)$')
  local key = P .. 'ad:' .. sender
  local least = tonumber(call('GET', key) or '0') or 0
  if tonumber(number) < least then return { 'late' } end
  if tonumber(floor) > least then call('SET', key, floor, 'EX', 3600) end
end
local run = ''
if known ~= '' then
  run = epoch()
  if run ~= known then return { 'epoch', run } end
end

local loud = false

local function each(from, many, width, command, key)
  local step = MANY - MANY % width
  for first = from, from + many - 1, step do
    call(command, key, unpack(ARGV, first, math.min(first + step - 1, from + many - 1)))
  end
end

local wrong, checked = {}, 0
local ops = {}

-- Records have these versions: key, version.
function ops.is(name, from, many)
  local keys, n = {}, 0
  for at = from, from + many - 1, 2 do
    n = n + 1
    keys[n] = ARGV[at]
  end
  for first = 1, n, MANY do
    local found = call('HMGET', P .. name, unpack(keys, first, math.min(first + MANY - 1, n)))
    for place, record in ipairs(found) do
      checked = checked + 1
      if string.sub(record or '', 1, 8) ~= ARGV[from + 2 * (first + place - 1) - 1] then wrong[#wrong + 1] = checked end
    end
  end
end

-- The whole record has this version.
function ops.only(name, from)
  checked = checked + 1
  if string.sub(call('GET', P .. name) or '', 1, 8) ~= ARGV[from] then wrong[#wrong + 1] = checked end
end

-- So many members begin with this: begin, count.
function ops.count(name, from, many)
  for at = from, from + many - 1, 2 do
    checked = checked + 1
    local found = call('ZLEXCOUNT', P .. name, '[' .. ARGV[at], '(' .. ARGV[at] .. '\255')
    if found ~= tonumber(ARGV[at + 1]) then wrong[#wrong + 1] = checked end
  end
end

function ops.hset(name, from, many) each(from, many, 2, 'HSET', P .. name) end
function ops.hdel(name, from, many) each(from, many, 1, 'HDEL', P .. name) end
function ops.set(name, from) call('SET', P .. name, ARGV[from]) end
function ops.zadd(name, from, many) each(from, many, 2, 'ZADD', P .. name) end
function ops.zrem(name, from, many) each(from, many, 1, 'ZREM', P .. name) end
function ops.sadd(name, from, many) each(from, many, 1, 'SADD', P .. name) end
function ops.hist(keep, from, many)
  for at = from, from + many - 1 do call('XADD', P .. 'hist', 'MAXLEN', '~', keep, '*', 'r', ARGV[at]) end
end

-- Out of a lane.
function ops.leave(lane, from, many)
  each(from, many, 1, 'ZREM', P .. 'lane:' .. lane)
  touched[lane] = true
end

-- Into a lane.
function ops.stand(lane, from, many)
  each(from, many, 2, 'ZADD', P .. 'lane:' .. lane)
  touched[lane] = true
  if not quiet then woken = true end
end

-- Into a lane, but for those that are claimed: time, member, trigger.
function ops.shift(lane, from, many)
  for at = from, from + many - 1, 3 do
    if call('HEXISTS', P .. 'at', ARGV[at + 2]) == 0 then
      call('ZADD', P .. 'lane:' .. lane, ARGV[at], ARGV[at + 1])
      touched[lane] = true
      if not quiet then woken = true end
    end
  end
end

-- Out of the queue of a job that allows one run at a time: job, member.
function ops.leave_alone(lane, from, many)
  for at = from, from + many - 1, 2 do
    local job, member = ARGV[at], ARGV[at + 1]
    call('ZREM', queue_of(lane, job), member)
    if call('ZREM', P .. 'lane:' .. lane, member) == 1 then
      touched[lane] = true
      offer_in(lane, job)
    elseif call('EXISTS', queue_of(lane, job)) == 0 then
      call('SREM', P .. 'ql:' .. job, lane)
    end
  end
end

-- Into it, but for those that are claimed, if a trigger is named: job, time, member, trigger or nothing.
function ops.stand_alone(lane, from, many)
  for at = from, from + many - 1, 4 do
    local job, time, member, key = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    if key == '' or call('HEXISTS', P .. 'at', key) == 0 then
      local queue = queue_of(lane, job)
      call('SADD', P .. 'ql:' .. job, lane)
      call('ZADD', queue, time, member)
      if call('HEXISTS', P .. 'busy', job) == 0 then
        local first = call('ZRANGE', queue, 0, 1)
        if first[1] == member then
          if first[2] then call('ZREM', P .. 'lane:' .. lane, first[2]) end
          call('ZADD', P .. 'lane:' .. lane, time, member)
          touched[lane] = true
          if not quiet then woken = true end
        end
      end
    end
  end
end

-- Not claimed any more, if it was by this: trigger, claim.
function ops.unclaim(_, from, many)
  local keys, n, gone = {}, 0, {}
  for at = from, from + many - 1, 2 do
    n = n + 1
    keys[n] = ARGV[at]
  end
  for first = 1, n, MANY do
    local found = call('HMGET', P .. 'at', unpack(keys, first, math.min(first + MANY - 1, n)))
    for place, claim in ipairs(found) do
      if claim and claim == ARGV[from + 2 * (first + place - 1) - 1] then gone[#gone + 1] = keys[first + place - 1] end
    end
  end
  for first = 1, #gone, MANY do call('HDEL', P .. 'at', unpack(gone, first, math.min(first + MANY - 1, #gone))) end
end

-- Jobs that are free, if this was what held them: job, claim.
function ops.free(_, from, many)
  for at = from, from + many - 1, 2 do
    if call('HGET', P .. 'busy', ARGV[at]) == ARGV[at + 1] then
      call('HDEL', P .. 'busy', ARGV[at])
      offer(ARGV[at])
    end
  end
end

-- Claims of a group come or go: group, by how many.
function ops.group(_, from, many)
  for at = from, from + many - 1, 2 do
    local left = call('HINCRBY', P .. 'groups', ARGV[at], ARGV[at + 1])
    if left <= 0 then call('HDEL', P .. 'groups', ARGV[at]) end
    if call('SREM', P .. 'awaited', ARGV[at]) == 1 then woken, loud = true, true end
  end
end

function ops.wake() woken = true end
function ops.cry() woken, loud = true, true end

local CHECKS = { is = true, only = true, count = true }
local at, is_checked = 5, false
while at <= #ARGV do
  local name, key, many = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  if not is_checked and not CHECKS[name] then
    is_checked = true
    if #wrong > 0 then return { 'changed', run, wrong } end
  end
  ops[name](key, at + 3, many)
  at = at + 3 + many
end
if #wrong > 0 then return { 'changed', run, wrong } end
note_lanes()
if woken then
  call('HINCRBY', P .. 'meta', 'ver', 1)
  if loud or not quiet then call('PUBLISH', P .. 'wake', sender) end
end
return { 'done', run, {}, woken and '1' or '' }

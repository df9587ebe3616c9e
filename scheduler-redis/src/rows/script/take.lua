-- Takes the first due triggers out of their lanes and notes them as claims of a session.
--
-- ARGV: session, turn, now, until, most, when late begins or nothing, share of late ones, version of pauses and calendars as the
-- node knows them, types as JSON or nothing, limits as JSON or nothing, whether alarms are looked for. Times in milliseconds.
-- Answers: what has become of it, epoch, number before the first claim, when to ask again, what is left of the late share, claims
-- to be stopped and why, records.
local session, turn = ARGV[1], tonumber(ARGV[2])
local now, limit, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local late, late_most = tonumber(ARGV[6]), tonumber(ARGV[7])
local types, limits = ARGV[9] ~= '' and cjson.decode(ARGV[9]), ARGV[10] ~= '' and cjson.decode(ARGV[10])

local node = call('HMGET', P .. 'sc', session)[1] and call('HEXISTS', P .. 'ss', session) == 1 and call('ZSCORE', P .. 'sl', session)
local run, held = epoch()
if not node then return { 'lost', run } end
if held then return { 'held', run } end
if most > 0 then
  -- A call that does not come after all others does nothing: its node does not wait for it any more.
  if turn <= (tonumber(call('HGET', P .. 'tn', session) or '0') or 0) then return { 'late', run } end
  call('HSET', P .. 'tn', session, ARGV[2])
end
if string.sub(call('GET', P .. 'rest') or '', 1, 8) ~= ARGV[8] then return { 'rest', run } end
if ARGV[11] == '1' and call('ZCOUNT', P .. 'alarms', '-inf', ARGV[3]) > 0 then return { 'alarm', run } end

local is_served
if types then
  is_served = {}
  for _, name in ipairs(types) do is_served[name] = true end
end

-- How many the node may take of a group; nothing for any number.
local left = {}
local function left_of(lane)
  if not limits then return nil end
  local group = string.match(lane, '^[^%z]*')
  if left[group] == nil then
    local name = string.sub(group, 2)
    local here, shared
    if string.sub(group, 1, 1) == '0' then
      here = limits.ungrouped
    else
      here, shared = limits.named[name] or limits.others, limits.shared[name]
    end
    if shared then
      shared = math.max(0, shared - (tonumber(call('HGET', P .. 'groups', name) or '0') or 0))
      if shared == 0 then call('SADD', P .. 'awaited', name) end
    end
    left[group] = (here and shared and math.min(here, shared)) or here or shared or false
  end
  return left[group] or nil
end

local function is_open(lane)
  return not (is_served and not is_served[string.match(lane, '%z(.*)$')]) and left_of(lane) ~= 0
end

local PART = 100
-- The lanes in which something is due, from this time on.
local function due_lanes()
  local found, at = {}, 0
  repeat
    local part = call('ZRANGEBYSCORE', P .. 'lanes', '-inf', ARGV[4], 'LIMIT', at, PART)
    for _, lane in ipairs(part) do
      if is_open(lane) then found[#found + 1] = lane end
    end
    at = at + PART
  until #part < PART
  return found
end

-- What comes first in these lanes from this time on, at most so many, in order.
local function first_of(lanes, since, many)
  local each = #lanes < 4 and many or math.max(4, 2 * math.ceil(many / #lanes))
  local found, bound = {}, nil
  for _, lane in ipairs(lanes) do
    local part = call('ZRANGEBYSCORE', P .. 'lane:' .. lane, since, ARGV[4], 'WITHSCORES', 'LIMIT', 0, each)
    for n = 1, #part, 2 do found[#found + 1] = { tonumber(part[n + 1]), part[n], lane } end
    -- What follows in this lane is not known: no lane goes further than this.
    local last = #part == 2 * each and found[#found]
    if last and (not bound or last[1] < bound[1] or (last[1] == bound[1] and last[2] < bound[2])) then bound = last end
  end
  if #lanes > 1 then
    table.sort(found, function(a, b)
      if a[1] ~= b[1] then return a[1] < b[1] end
      return a[2] < b[2]
    end)
  end
  return found, bound
end

local taken, records, gone = {}, {}, {}
local busy = {}
local members = {}

local function take_out(place)
  local lane = place[3]
  local all = members[lane]
  if not all then
    all = {}
    members[lane] = all
  end
  all[#all + 1] = place[2]
end

-- Takes what was found out of the lanes.
local function clear()
  for lane, all in pairs(members) do
    call('ZREM', P .. 'lane:' .. lane, unpack(all))
    touched[lane] = true
  end
  members = {}
end

-- Claims those that can be claimed.
local function claim(chosen)
  local names = {}
  for n, place in ipairs(chosen) do names[n] = string.sub(place[2], 5) end
  local found = call('HMGET', P .. 'triggers', unpack(names))
  for n, place in ipairs(chosen) do
    local record, ok = found[n], true
    if not record then
      -- Somebody has destroyed it.
      gone[#gone + 1], ok = names[n], false
    elseif (string.byte(record, 11) or 0) % 2 == 1 then
      -- Its job allows one run at a time: see `record.rs`.
      local job = call('HGET', P .. 'alone', names[n]) or ''
      if busy[job] then
        ok = false
      else
        busy[job] = place
        call('ZREM', queue_of(place[3], job), place[2])
        withhold(job)
      end
      place[4] = job
    end
    if ok or not record then take_out(place) end
    if ok then
      taken[#taken + 1], records[#records + 1] = place, record
      local group = limits and string.match(place[3], '^[^%z]*')
      if group and left[group] then left[group] = left[group] - 1 end
    end
  end
  clear()
end

-- One pass over the lanes, from this time on; with `share` no more late ones than that. Says whether the share is used up.
local function pass(since, share)
  for _ = 1, 50 do
    local want = most - #taken
    if want <= 0 then return false end
    local lanes = due_lanes()
    if #lanes == 0 then return false end
    local found, bound = first_of(lanes, since, want)
    if #found == 0 then return false end
    local chosen, used, of_group = {}, false, {}
    for _, place in ipairs(found) do
      if #chosen == want then break end
      if bound and (place[1] > bound[1] or (place[1] == bound[1] and place[2] > bound[2])) then break end
      if share and place[1] < late then
        if late_most == 0 then
          used = true
          break
        end
      end
      local group = limits and string.match(place[3], '^[^%z]*')
      local room = group and left[group]
      if not (room and room <= (of_group[group] or 0)) then
        if share and place[1] < late then late_most = late_most - 1 end
        if group then of_group[group] = (of_group[group] or 0) + 1 end
        chosen[#chosen + 1] = place
      end
    end
    if #chosen > 0 then claim(chosen) end
    note_lanes()
    if used then return true end
    if #chosen == 0 then return false end
  end
  return false
end

if most > 0 then
  if late then
    if pass('-inf', true) then
      pass(text(late), false)
      pass('-inf', false)
    end
  else
    pass('-inf', false)
  end
end

local base = ''
if #taken > 0 then
  base = math.max(tonumber(call('HGET', P .. 'meta', 'count') or '') or 0, server_micros())
  call('HSET', P .. 'meta', 'count', text(base + #taken))
  local claims, at, groups, head = {}, {}, {}, session .. '-'
  for n, place in ipairs(taken) do
    local id, key = head .. text(base + n), string.sub(place[2], 5)
    claims[2 * n - 1], claims[2 * n] = id, records[n]
    at[2 * n - 1], at[2 * n] = key, id
    if place[4] then call('HSET', P .. 'busy', place[4], id) end
    local group = string.match(place[3], '^1([^%z]*)')
    if group then groups[group] = (groups[group] or 0) + 1 end
  end
  call('HSET', P .. 'cl:' .. session, unpack(claims))
  call('HSET', P .. 'at', unpack(at))
  for group, many in pairs(groups) do
    call('HINCRBY', P .. 'groups', group, many)
    left['1' .. group] = nil
  end
  call('SADD', P .. 'homes', session)
  base = text(base)
end

local next_due
local at = 0
repeat
  local part = call('ZRANGE', P .. 'lanes', at, at + PART - 1, 'WITHSCORES')
  for n = 1, #part, 2 do
    if not next_due and is_open(part[n]) then next_due = tonumber(part[n + 1]) end
  end
  at = at + PART
until next_due or #part < 2 * PART
local alarm = call('ZRANGE', P .. 'alarms', 0, 0, 'WITHSCORES')[2]
if alarm and (not next_due or tonumber(alarm) < next_due) then next_due = tonumber(alarm) end

return { 'ok', run, base, next_due and text(next_due) or '', text(late_most or 0), call('HGETALL', P .. 'stop:' .. session), records, gone }


-- Claims. One that is not fired yet stands in the state of its trigger, and among those that lapse. A run has a record: whether
-- its job allowed one run at a time, generation and lineage of its trigger, since when, when it was due, trigger, job,
-- execution group as in the lane or false, and the name of its node. The first place says that the record was read.
local ALONE, OF_GENERATION, OF_LINEAGE, SINCE, DUE, TRIGGER, OF_JOB, GROUP, NODE = 2, 3, 4, 5, 6, 7, 8, 9, 10
local CLAIM_FORMAT = '>BddddI2c0I2c0I2c0Bc0c1'

local function read_claim(record)
  if not is_whole(record, 40) then return false end
  local claim = { pcall(struct.unpack, CLAIM_FORMAT, record) }
  if not claim[1] then return false end
  claim[ALONE] = claim[ALONE] == 1
  if claim[GROUP] == '' then claim[GROUP] = false end
  return claim
end

-- The runs of this call by id, and the hashes in which they are.
local claims, homes_of = {}, {}

local function save_claim(id, claim, home)
  local trigger, jk, group = claim[TRIGGER], claim[OF_JOB], claim[GROUP] or ''
  claims[id], homes_of[id] = claim, home
  put(home, id, struct.pack(
    CLAIM_FORMAT, claim[ALONE] and 1 or 0, claim[OF_GENERATION], claim[OF_LINEAGE], claim[SINCE], claim[DUE], #trigger, trigger, #jk, jk, #group, group, #claim[NODE], claim[NODE], WHOLE
  ))
end

-- The run of this id with the hash in which it is, if it is there; only of a living session if that is wished.
local graves
local function claim_of(id, living)
  local claim = claims[id]
  if claim == nil then
    local session, home = session_of(id), home_of(id)
    local record = get(home, id)
    if not record then
      graves = graves or redis.call('SMEMBERS', K'graves')
      for _, name in ipairs(graves) do
        if not record and string.find(name, session .. '@', 1, true) == 1 then
          home = 'grave:' .. name
          record = get(home, id)
        end
      end
    end
    claim = record and read_claim(record)
    claims[id], homes_of[id] = claim, home
  end
  local home = homes_of[id]
  if claim and not (living and string.sub(home, 1, 3) ~= 'cl:') then return claim, home end
end

local with_stops = {}
local function has_stops(session)
  if with_stops[session] == nil then with_stops[session] = redis.call('EXISTS', K('stop:' .. session)) == 1 end
  return with_stops[session]
end

-- Lets others have what a claim has kept from them.
local function free(id, jk, alone, group)
  if group then
    add('eg', group, -1)
    if redis.call('SREM', K'ew', group) == 1 then wake, loud = true, true end
  end
  if alone and is_busy(jk) == id then
    put('busy', jk, false)
    offer(jk)
  end
end

local function end_claim(id)
  local claim, home = claim_of(id)
  if not claim then return nil end
  put(home, id, false)
  claims[id] = false
  local session = session_of(id)
  if has_stops(session) then redis.call('HDEL', K('stop:' .. session), id) end
  free(id, claim[OF_JOB], claim[ALONE], claim[GROUP])
  return claim
end

-- The runs of a session of which its node, which asks, does not know.
local function unknown_runs()
  local told, ids = {}, {}
  for _, id in ipairs(request.known) do told[id] = true end
  for _, id in ipairs(redis.call('HKEYS', K('cl:' .. request.session))) do
    if not told[id] then ids[#ids + 1] = id end
  end
  return ids
end

-- The execution group of a trigger as a claim names it.
local function group_of_lane(lane)
  local group = group_in(lane)
  return group ~= '0' and group
end

-- The runs of a trigger: one by itself stands in its state, several in a set until all have ended.
local function begin_run(s, id)
  local all = K('rt:' .. text(s[LINEAGE]))
  if s[RUNS] == 0 then
    s[RUN] = id
  else
    if s[RUN] then redis.call('SADD', all, s[RUN]) end
    s[RUN] = false
    redis.call('SADD', all, id)
  end
  s[RUNS] = s[RUNS] + 1
end

local function end_run(s, id)
  s[RUNS] = math.max(s[RUNS] - 1, 0)
  if s[RUN] == id then s[RUN] = false else redis.call('SREM', K('rt:' .. text(s[LINEAGE])), id) end
end

local function runs_under_way(s)
  return s[RUN] and { s[RUN] } or redis.call('SMEMBERS', K('rt:' .. text(s[LINEAGE])))
end

-- The claim of a trigger, which was not fired.
local function withdraw(key, s)
  local id = s[CLAIM]
  if not id then return end
  s[CLAIM] = false
  place('lapse', key, false)
  free(id, s[JOB], s[EXCLUSIVE], group_of_lane(s[LANE]))
end

-- A claim that is not fired goes with its trigger.
local function move_to(key, s, lane, exclusive)
  local id, before, after = s[CLAIM], group_of_lane(s[LANE]), group_of_lane(lane)
  if id and before ~= after then
    if before then add('eg', before, -1) end
    if after then add('eg', after, 1) end
  end
  if id and s[EXCLUSIVE] and not exclusive then free(id, s[JOB], true, false) end
  s[LANE], s[EXCLUSIVE] = lane, exclusive
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
  local next = s and AFTER[step][s[STATE]]
  if not next then return false end
  dequeue(key, s)
  s[STATE] = next
  withdraw(key, s)
  if next ~= 'P' then s[NOTE], s[PAUSE_END] = false, false end
  save(key, s)
  enqueue(key, s)
  return true
end

-- The trigger that has this claim, which was not fired.
local function claimant(id)
  local waiting = redis.call('ZRANGE', ordered('lapse'), 0, 9999)
  fetch('ts', waiting)
  for _, key in ipairs(waiting) do
    local s = load(key)
    if s and s[CLAIM] == id then return key end
  end
end

local function release(key, id)
  local s = load(key)
  if s and s[CLAIM] == id then apply(key, 'release') end
end

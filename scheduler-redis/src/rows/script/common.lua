-- What the scripts have in common. KEYS[1] is the prefix of every key, with one hash tag. A key of a job or trigger is
-- `group NUL name`, with an empty group for the default one, so that the order of bytes is the order of keys. A record begins
-- with the eight bytes of its version. No script looks into a record, but for its version and one flag of a trigger.
--
-- The layout, each after the prefix:
--   jobs, triggers   key -> record
--   cl:<session>     claim -> record; that of a trigger, as it was claimed, as long as it is not fired
--   at               trigger -> its claim that is not fired
--   lane:<lane>      what can be claimed, by time, priority, key. A lane is `1` and the execution group, or `0`, NUL, and the type
--                    of the job
--   lanes            lane -> when its first is due
--   busy             job that allows one run at a time -> its one claim
--   q:<lane> \1 <job>, ql:<job>   what waits for such a job, and in which lanes: the first stands in the lane, too, while it is free
--   groups           execution group -> claims of it       awaited   groups for which a node waits
--   alone            trigger whose job allows one run at a time -> that job
--   alarms           triggers that a rule has to look at, by when
--   nj, nt           all keys, in their order      of   job NUL NUL trigger      by   calendar NUL NUL trigger
--   rest             version and record of pauses and calendars      marks   name -> record      hist   a stream
--   stop:<session>   claim -> why it is to stop
--   ss, sl, sn, sc, tn, graves, grave:<name>, untold, meta, ad:<sender>, wake: see `nodes.lua`

local P = KEYS[1]
local call = redis.call
-- So many values go to one command.
local MANY = 5000

local function text(number) return string.format('%.0f', number) end

-- The server's clock in microseconds, the same for the whole call.
local micros
local function server_micros()
  if not micros then
    local time = call('TIME')
    micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  return micros
end

-- Which life of which server this is, and whether nothing is to be handed out: see `nodes.lua`.
local HOLD = 5000
local function epoch()
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'unknown'
  local before = call('HMGET', P .. 'meta', 'run', 'hold', 'lease')
  local hold, millis = tonumber(before[2] or '0') or 0, math.floor(server_micros() / 1000)
  if run ~= before[1] then
    hold = before[1] and millis + math.max(HOLD, (tonumber(before[3]) or 0) / 2) or 0
    call('HSET', P .. 'meta', 'run', run, 'hold', text(hold))
    call('DEL', P .. 'untold')
    for _, session in ipairs(call('ZRANGE', P .. 'sl', 0, -1)) do call('SADD', P .. 'untold', session) end
  end
  return run, millis < hold and call('SCARD', P .. 'untold') > 0
end

-- Lanes whose first may be another one.
local touched = {}
-- Whether others may find something.
local woken = false

local function note_lanes()
  for lane in pairs(touched) do
    local first = call('ZRANGE', P .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
    if first[1] then
      call('ZADD', P .. 'lanes', first[2], lane)
    else
      call('ZREM', P .. 'lanes', lane)
    end
  end
end

local function queue_of(lane, job) return P .. 'q:' .. lane .. '\1' .. job end

-- The first of what waits for a job in this lane can be claimed.
local function offer_in(lane, job)
  local first = call('ZRANGE', queue_of(lane, job), 0, 0, 'WITHSCORES')
  if not first[1] then
    call('SREM', P .. 'ql:' .. job, lane)
    return
  end
  call('ZADD', P .. 'lane:' .. lane, first[2], first[1])
  touched[lane], woken = true, true
end

local function offer(job)
  for _, lane in ipairs(call('SMEMBERS', P .. 'ql:' .. job)) do offer_in(lane, job) end
end

-- The job is busy: nothing of it can be claimed.
local function withhold(job)
  for _, lane in ipairs(call('SMEMBERS', P .. 'ql:' .. job)) do
    local first = call('ZRANGE', queue_of(lane, job), 0, 0)
    if first[1] then
      call('ZREM', P .. 'lane:' .. lane, first[1])
      touched[lane] = true
    end
  end
end

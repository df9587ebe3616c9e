-- What the scripts have in common. KEYS[1] is the prefix of every key, with one hash tag; ARGV[1] is the call, for whoever reads a
-- log. The key of a job or trigger is `group NUL name`, with an empty group for the default one, so that the order of bytes is the
-- order of keys. A record begins with the eight bytes of its version. No script looks into a record, but for its version, one
-- flag, and the gates of a run; what it finds destroyed it passes over.
--
-- The layout, each after the prefix:
--   jobs, triggers   key -> record         runs   name -> record. The name of a run is U+10FFFF and 22 digits
--   cl:<session>     claim -> record; that of a trigger, as it was claimed, as long as it is not fired. Or a bundle: the number of claims
--                    of runs without its last two digits -> names of runs, each at the place of these digits, with blanks for claims
--                    that are over or have a record             homes  sessions with claims
--   at               trigger -> its claim that is not fired; run -> its claim, if that has a record
--   lane:<lane>      what can be claimed, by time, priority, key. A lane is `1` and the queue, or `0`, NUL, and the type
--                    of the job        lanes   lane -> when its first is due
--   tags             what a run has to do with something else, NUL NUL, and the run
--   ended:<end>      runs that have ended like this, by the time of their end
--   alone            trigger or run whose job allows one run at a time -> that job
--   busy             such a job -> its one claim
--   q:<lane> \1 <job>, ql:<job>   what waits for such a job, and in which lanes: the first stands in its lane, too, while the job is
--                    free
--   gates            gate -> sum of the weights of the claims that hold it. A gate is the name of a limit, and NUL and a key if it has one
--   shut             gate -> before when nobody enters it, in milliseconds. When that time has come, the alarm of the gate removes it
--   caps             limit, or gate -> the cap that somebody has set, and who and why; \1 and a limit -> the last of its gates that was
--                    looked at since       limits  gates that are used or waited for, that are shut, or for which a cap was set
--   rt:<gate>        what is known of the attempts at a rate, as long as they count
--   parked           run that waits at a gate -> `p` and the gate if it is parked there, `o` and the gate if it is let out
--   g:<lane> \1 <gate>, gl:<gate>   what is parked at a gate, and in which lanes: it stands in no lane    go:<lane> \1 <gate>   who is let out
--   fv               queue (`1` and its name, or `0`) with runs that have turns -> the largest turn at which one was claimed, or nothing. A run with a
--                    fair key is parked at a gate of its own kind: the byte 2, the queue, NUL and the key
--   ft:<gate>        runs of this key that have turns, by those          fd:<queue>   name and key of each run that has a turn, by due time
--   queues           queue -> claims of it       awaited   queues for which a node waits
--   alarms           triggers and runs that a rule has to look at, by when: a boosted run that is not due stands only here. Also gates
--                    that open then, after the byte 255: rates for which somebody waits, and what is shut; and after the bytes 255 and 1 limits whose cap has changed
--   bc:<run>         the counters of a batch. It has a total from the begin. A batch that rings stands among the alarms as `b` and its name
--   wait:<queue>     names of the runs that wait in a queue with a maximum length, and the mark   lengths  such queues
--   later            boosted run of a queue that is not due -> its queue       measured  the mark; none if no queue has a maximum
--   nj, nt           all keys, in their order      of   job NUL NUL trigger      by   calendar NUL NUL trigger
--   rest             pauses and calendars          marks   name -> record
--   firings          the chunks of firing records there are        fr:<chunk>  a chunk: an entry for each record (see below), and from
--                    the byte `HEAD` on the records, one after the other. The record `n` is in the chunk `(n - 1) / CHUNK`
--   cnt:<bucket>     counters of attempts that have ended (see `counts.rs`). Each bucket expires
--   stop:<session>   claim -> why it is to stop
--   ss  session -> its node     sl  session -> end of its lease     sn  session -> when it was heard of
--   sc  session -> its claims have larger numbers than this         tn  session -> its last turn (see `take.lua`)
--   orphans, orphan:<name>   claims of sessions that are over         owners  such a name -> node
--   untold     sessions that have not said yet what they know (see `epoch`)
--   chores     number -> a change of many triggers that goes on     aside, aside:<key>   keys of the wrong kind
--   meta       count (the last number given out), ver (changes when somebody may have to look), jv (changes with any job), birth, schema, lease and cap, lc and
--              lw (the lease clock, and when it was set: see `nodes.lua`), run and hold (see `epoch`), fl, ff and fb (the
--              numbers of the last firing record and of the first that is kept, the bytes of records in the last chunk)
--   ad:<sender>   the first change of a process that may still take effect, and those after it which cannot any more         wake   a channel

local P, call = KEYS[1], redis.call
-- So many values go to one command.
local MANY = 5000

-- What the types of the keys are; of those of which there may be many, by what they begin with.
local TYPES = {
  jobs = 'hash', triggers = 'hash', runs = 'hash', ended = 'zset', tags = 'zset', at = 'hash', lanes = 'zset', alone = 'hash', busy = 'hash', queues = 'hash', awaited = 'set',
  alarms = 'zset', nj = 'zset', nt = 'zset', of = 'zset', by = 'zset', rest = 'string', marks = 'hash', firings = 'set', fr = 'string', cnt = 'hash', ss = 'hash',
  sl = 'zset', sn = 'hash', sc = 'hash', tn = 'hash', orphans = 'set', owners = 'hash', untold = 'set', chores = 'hash', aside = 'set',
  bc = 'hash', gates = 'hash', shut = 'hash', caps = 'hash', limits = 'zset', rt = 'string', parked = 'hash', g = 'zset', gl = 'set', go = 'set', fv = 'hash', ft = 'zset', fd = 'zset', wait = 'set', lengths = 'set', later = 'hash', measured = 'string', meta = 'hash', homes = 'set', cl = 'hash', lane = 'zset', q = 'zset', ql = 'set', stop = 'hash', orphan = 'hash', ad = 'string',
}

-- The last key that was used: a call that fails says which one it was.
local asked
local function K(name)
  asked = name
  return P .. name
end

-- Keys that are of the right kind, or absent.
local is_fine = {}

-- Fails before anything is written if one of these is of the wrong kind.
local function check(...)
  for _, name in ipairs({ ... }) do
    if not is_fine[name] then
      local found = call('TYPE', K(name)).ok
      if found ~= 'none' and found ~= TYPES[string.match(name, '^%l+')] then error('WRONGTYPE') end
      is_fine[name] = true
    end
  end
end

local function text(number) return string.format('%d', number) end

-- The server's clock in microseconds, the same for the whole call.
local micros
local function now_micros()
  if not micros then
    local time = call('TIME')
    micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  return micros
end

-- So many numbers, each larger than any before, also after the server has come back with older data. Answers the one before them.
-- With a `step` the first is a multiple of it.
local function count(many, least, step)
  local known = tonumber(call('HGET', K'meta', 'count') or '') or 0
  local base = math.max(known, now_micros(), least or 0)
  if step then base = base - base % step + step - 1 end
  call('HSET', K'meta', 'count', text(base + many))
  return base
end

-- How long nothing is handed out at least, in milliseconds, while nodes have not said what they know.
local HOLD = 5000

-- Which life of which server this is: in another one it may know less than was acknowledged. Nothing is handed out then until
-- all nodes have said what they know, or have had the time for it. Also says whether that lasts.
local function epoch()
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'unknown'
  local before = call('HMGET', K'meta', 'run', 'hold', 'lease')
  local hold, millis = tonumber(before[2] or '0') or 0, math.floor(now_micros() / 1000)
  if run ~= before[1] then
    hold = before[1] and millis + math.max(HOLD, (tonumber(before[3] or '') or 0) / 2) or 0
    call('HSET', K'meta', 'run', run, 'hold', text(hold))
    call('DEL', K'untold')
    for _, session in ipairs(call('ZRANGE', K'sl', 0, -1)) do call('SADD', K'untold', session) end
  end
  return run, millis < hold and call('SCARD', K'untold') > 0
end

-- What a session has said of its node when it registered: nothing if any part of its registration is lost. Then it registers anew.
local function is_registered(session)
  return call('HEXISTS', K'ss', session) == 1 and call('ZSCORE', K'sl', session) and tonumber(call('HGET', K'sc', session) or '') ~= nil
end

-- The name of a run has no NUL; those of jobs and triggers have.
local function is_run(name) return not string.find(name, '\0', 1, true) end

-- The bytes of the name of a run, and the most names in a bundle.
local NAME, PLACES = 26, 100
local BLANK = string.rep(' ', NAME)

-- What stands at a place of a bundle; nothing for blanks.
local function named(bundle, place)
  local name = string.sub(bundle, NAME * place + 1, NAME * place + NAME)
  return #name == NAME and name ~= BLANK and name or nil
end

-- The claim of a trigger that is not fired, or of a run. Runs are looked for among all claims, once for all of a call: those that
-- stand in a lane have none.
local by_run
local function claim_of(name)
  local noted = call('HGET', K'at', name)
  if noted or not is_run(name) then return noted end
  -- What waits at a gate is not claimed.
  check('parked')
  if call('HEXISTS', K'parked', name) == 1 then return nil end
  if not by_run then
    check('homes', 'orphans')
    local homes = {}
    for _, session in ipairs(call('SMEMBERS', K'homes')) do homes[#homes + 1] = 'cl:' .. session end
    for _, orphan in ipairs(call('SMEMBERS', K'orphans')) do homes[#homes + 1] = 'orphan:' .. orphan end
    by_run = {}
    for _, home in ipairs(homes) do
      check(home)
      local entries, session = call('HGETALL', K(home)), string.match(home, '%d+') or ''
      for n = 1, #entries, 2 do
        local field, bundle = entries[n], entries[n + 1]
        -- Another entry is a claim with a record.
        local places = string.find(field, '^%d+$') and math.min(PLACES, math.floor(#bundle / NAME)) or 0
        for place = 0, places - 1 do
          local run = named(bundle, place)
          if run then by_run[run] = session .. '-' .. field .. string.format('%02d', place) end
        end
      end
    end
  end
  return by_run[name]
end

-- The mark of the sets of runs that wait in queues, as the script has found it: nothing if no queue has a maximum length. A set without
-- the mark is out of date, since there was another mark or none when something changed.
local mark
local counted = {}

-- Whether the runs that wait in this queue are counted. A set of the wrong kind counts as absent.
local function is_counted(queue)
  if counted[queue] == nil then
    local key = P .. 'wait:' .. queue
    counted[queue] = call('TYPE', key).ok == 'set' and call('SISMEMBER', key, mark) == 1
  end
  return counted[queue]
end

-- A run waits in a queue from now on (`SADD`), or no longer (`SREM`).
local function note_waiting(command, queue, name)
  if is_run(name) and is_counted(queue) then call(command, P .. 'wait:' .. queue, name) end
end

-- Lanes whose first may be another one, those of them in which something stands now, and whether others may find something.
local touched, entered, woken = {}, {}, false

local function note_lanes()
  for lane in pairs(touched) do
    local first = call('ZRANGE', K('lane:' .. lane), 0, 0, 'WITHSCORES')
    if not first[1] then
      call('ZREM', K'lanes', lane)
    elseif call('ZADD', K'lanes', 'CH', first[2], lane) == 1 and entered[lane] then
      -- Behind another first there is nothing new to look for: who has room takes that, and what comes after it.
      woken = true
    end
  end
  touched, entered = {}, {}
end

local function waiting_of(lane, job) return 'q:' .. lane .. '\1' .. job end

-- The first of what waits for a job in this lane can be claimed.
local function offer_in(lane, job)
  local first = call('ZRANGE', K(waiting_of(lane, job)), 0, 0, 'WITHSCORES')
  if first[1] then
    call('ZADD', K('lane:' .. lane), first[2], first[1])
    touched[lane], woken = true, true
  else
    call('SREM', K('ql:' .. job), lane)
  end
end

-- Puts what waits for a job into its list, and into the lane if it is the first there and the job is free. Says whether it stands in the lane.
local function stand_in_list(lane, job, time, member)
  call('SADD', K('ql:' .. job), lane)
  call('ZADD', K(waiting_of(lane, job)), time, member)
  local first = call('ZRANGE', K(waiting_of(lane, job)), 0, 1)
  if first[1] ~= member or call('HEXISTS', K'busy', job) == 1 then return false end
  if first[2] then call('ZREM', K('lane:' .. lane), first[2]) end
  call('ZADD', K('lane:' .. lane), time, member)
  return true
end

-- Whether this is the record of a run that has gates.
local function is_gated(record) return (string.byte(record, 11) or 0) % 8 >= 4 and string.byte(record, 9) == 114 end

-- The number of firing records in a chunk, and the bytes of an entry: 1 for the outcome, 4 each for job, trigger and run, 3 for the
-- length of the record.
local CHUNK, ENTRY = 256, 16
local HEAD = CHUNK * ENTRY

local function length_of(entries, index)
  local high, middle, low = string.byte(entries, index * ENTRY + 14, index * ENTRY + 16)
  return high * 65536 + middle * 256 + low
end

local function is_count(value, most) return value and value >= 0 and value <= most and value % 1 == 0 end

-- The numbers of the last firing record and of the first that is kept, and the bytes of records in the last chunk. If they are lost,
-- they follow from the set of chunks, and a new chunk begins.
local function firings_kept()
  local known = call('HMGET', K'meta', 'fl', 'ff', 'fb')
  local last, first, bytes = tonumber(known[1] or ''), tonumber(known[2] or ''), tonumber(known[3] or '')
  if is_count(last, 2 ^ 52) and is_count(first, last + 1) and is_count(bytes, 2 ^ 28) then return last, first, bytes end
  local least, most
  for _, member in ipairs(call('SMEMBERS', K'firings')) do
    local chunk = tonumber(member)
    if is_count(chunk, 2 ^ 44) then
      least, most = math.min(least or chunk, chunk), math.max(most or chunk, chunk)
    end
  end
  if not most then return 0, 1, 0 end
  return (most + 1) * CHUNK, least * CHUNK + 1, 0
end

-- Carries out a call. A key of the wrong kind is an answer: the node moves it out of the way. Everything else that fails names the
-- key at least.
local function guarded(carry_out)
  local is_done, result = pcall(carry_out)
  if is_done then return result end
  local problem = type(result) == 'table' and result.err or tostring(result)
  if string.find(problem, 'WRONGTYPE', 1, true) then return { 'kind', asked } end
  return redis.error_reply(problem .. ' (at the key `' .. P .. tostring(asked) .. '`)')
end

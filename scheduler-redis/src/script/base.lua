-- The job store: one verb per call, each as a whole or not at all. `script.rs` puts the files of this folder together.
--
-- KEYS[1] is the prefix of every key, with one hash tag. ARGV[1] is the verb, ARGV[2] its parameters as JSON, ARGV[3] who
-- asks; where there are many rows, they follow as they are, so many texts each. Times and counts are texts outside and
-- numbers inside: the JSON of Lua keeps 14 digits of a number. A key is `group NUL name`, with an empty group for the default
-- one, so that the order of bytes is the order of keys.
--
-- The layout, each after the prefix:
--   ts  trigger -> state (below)          td  trigger -> description
--   jd  job -> what the script must know, description, data (`read_job`)
--   jo  job -> its only trigger, or nothing if it has had several: then jt:<job> has them
--   ti, ji  all names, in their order
--   gt, gj     groups of triggers and jobs -> how many are in each
--   lane:<lane>  what can be claimed, by time, priority, key       due:<type>  its lanes, by when they are due
--   types      job types that have lanes
--   q:<lane>:<job>, ql:<job>              what waits for a job that allows one run at a time, and in which lanes
--   eg         execution group -> claims of it       ew  groups for which a node waits
--   over       triggers that cancel their own run when they are due
--   cl:<session>  runs -> record (below)             homes  sessions that have had runs
--   busy       job -> its one claim       lapse  triggers whose claim was not fired, by when it lapses
--   rt:<lineage>  runs of a trigger that has had several at once   stop:<session>  claim -> why it is to stop
--   ss  session -> its node               sl  session -> end of its lease  sn  session -> when it was heard of
--   sc  session -> its claims have larger numbers than this     tn  session -> its last turn (see `acquire`)
--   grave:<name>, graves  runs of sessions that are over
--   cal  calendar -> description          cu:<calendar>  who names it
--   marks      name -> revision, NUL, what it says
--   pg, pj     paused groups of triggers and jobs -> note                  px  groups excepted from a pause of all
--   pe         pauses that end by themselves          chores  number -> what is not finished yet (see `begin`)
--   meta       count (the last number given out), all (the note of a pause of all), ver (changes when somebody may have
--              to look), birth, schema, lease and cap (see `tick`), lc and lw (the lease clock, and when it was set), run,
--              and hold (see `epoch`)
--   untold     sessions that have not said yet what they know (see `epoch`)
--   ad:<sender>  the first change of a process that is still waited for
--   hist       a stream: runs that are over, as far as they are kept
--   aside:<key>, aside  keys of the wrong kind that were moved out of the way
--   wake       a channel: somebody may have to look

local P = KEYS[1]
local verb, request, from = ARGV[1], cjson.decode(ARGV[2]), ARGV[3]
local ROWS = 4
-- Rows of the answer, as they are.
local rows = {}
-- Whether somebody may have to look, and whether also those of other processes that need not otherwise.
local wake, others, loud = false, false, false
local NONE = cjson.null
local FORMAT = 1
-- What touches many triggers does so for this many in one call.
local PART = 500
-- And claims that are put aside for this many.
local BATCH = 100
-- A chore on which nobody has worked for so many milliseconds is anybody's.
local ABANDONED = 2000
-- How long nothing is handed out at least, in milliseconds, while nodes have not said what they know.
local HOLD = 5000
-- In a record in place of a time that is none.
local NEVER = -9007199254740992

-- The last key that was used: a call that fails says which one it was.
local asked
local function K(name)
  asked = name
  return P .. name
end
local function given(value) return value ~= nil and value ~= NONE end
-- What was destroyed from outside, in rows of its kind, its key and a sentence. The node logs them.
local damage = {}
local function report(kind, key, what) damage[#damage + 1] = { kind, key, what } end
-- JSON that may have been destroyed: false unless it is a table.
local function decoded(json)
  local is_read, value = pcall(cjson.decode, json)
  return is_read and type(value) == 'table' and value
end
local function num(value) return given(value) and tonumber(value) or nil end
local function text(number) return string.format('%d', number) end
-- The session of a claim, and where its runs are. Most ids of a call are of one session.
local last_session, last_prefix, last_home
local function session_of(id)
  if not last_prefix or string.find(id, last_prefix, 1, true) ~= 1 then
    last_session = string.match(id, '^(.-)%-') or id
    last_prefix, last_home = last_session .. '-', 'cl:' .. last_session
  end
  return last_session
end
local function home_of(id)
  session_of(id)
  return last_home
end

local function number_of(id) return tonumber(string.sub(id, #session_of(id) + 2)) or 0 end

-- The server's clock in microseconds, the same for the whole call.
local micros
local function server_micros()
  if not micros then
    local time = redis.call('TIME')
    micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  return micros
end
local function server_millis() return math.floor(server_micros() / 1000) end

-- What a call changes goes to the server at its end, all of a kind at once; whoever reads before sees it.

-- Of hashes: what was read or is to be written, false if there is none.
local known, changed = {}, {}
-- Of sorted sets: member -> score, or false if it is to be taken out.
local places = {}
-- Of hashes of numbers: by how much they change.
local sums = {}

local function of(all, name)
  local found = all[name]
  if not found then
    found = {}
    all[name] = found
  end
  return found
end

local function get(hash, field)
  local fields = of(known, hash)
  local value = fields[field]
  if value == nil then
    value = redis.call('HGET', K(hash), field)
    fields[field] = value
  end
  return value
end

-- Reads many at once, for whoever gets them one by one.
local function fetch(hash, names)
  local fields, missing = of(known, hash), {}
  for _, name in ipairs(names) do
    if fields[name] == nil then
      fields[name] = false
      missing[#missing + 1] = name
    end
  end
  for first = 1, #missing, PART do
    local values = redis.call('HMGET', K(hash), unpack(missing, first, math.min(first + PART - 1, #missing)))
    for n, value in ipairs(values) do fields[missing[first + n - 1]] = value end
  end
end

-- With false it is taken out.
local function put(hash, field, value)
  of(known, hash)[field] = value
  of(changed, hash)[field] = true
end

local function place(zset, member, score) of(places, zset)[member] = score end

local function add(hash, field, difference)
  local fields = of(sums, hash)
  fields[field] = (fields[field] or 0) + difference
end

-- A number as it is now.
local function sum(hash, field)
  return (tonumber(redis.call('HGET', K(hash), field) or '0') or 0) + (of(sums, hash)[field] or 0)
end

local function in_parts(command, key, words)
  for first = 1, #words, 2 * PART do
    redis.call(command, key, unpack(words, first, math.min(first + 2 * PART - 1, #words)))
  end
end

-- A sorted set as it is now.
local function ordered(zset)
  local members = places[zset]
  if members then
    places[zset] = nil
    local put_in, taken = {}, {}
    for member, score in pairs(members) do
      if score then
        put_in[#put_in + 1] = score
        put_in[#put_in + 1] = member
      else
        taken[#taken + 1] = member
      end
    end
    in_parts('ZREM', K(zset), taken)
    in_parts('ZADD', K(zset), put_in)
  end
  return K(zset)
end

-- What somebody has put in place of a number counts as none.
local function increase(hash, field, difference)
  local value = redis.pcall('HINCRBY', K(hash), field, difference)
  if type(value) == 'number' then return value end
  redis.call('HDEL', K(hash), field)
  return redis.call('HINCRBY', K(hash), field, difference)
end

local function write()
  for hash, fields in pairs(changed) do
    local values, gone = {}, {}
    for field in pairs(fields) do
      local value = known[hash][field]
      if value then
        values[#values + 1] = field
        values[#values + 1] = value
      else
        gone[#gone + 1] = field
      end
    end
    in_parts('HSET', K(hash), values)
    in_parts('HDEL', K(hash), gone)
  end
  changed = {}
  local zsets = {}
  for zset in pairs(places) do zsets[#zsets + 1] = zset end
  for _, zset in ipairs(zsets) do ordered(zset) end
  for hash, fields in pairs(sums) do
    for field, difference in pairs(fields) do
      if difference ~= 0 and increase(hash, field, difference) <= 0 then
        redis.call('HDEL', K(hash), field)
      end
    end
  end
  sums = {}
end

-- A number larger than any before, also after the server has come back with older data.
local counter
local function count()
  if not counter then counter = math.max(tonumber(get('meta', 'count') or '0') or 0, server_micros()) end
  counter = counter + 1
  return counter
end

local function member(p, key) return struct.pack('>I4', 2147483647 - p) .. key end
local function key_of(m) return string.sub(m, 5) end
local function group_of(key) return string.match(key, '^[^%z]*') end

-- The first member of a sorted set, and its score.
local function head(zset)
  local first = redis.call('ZRANGE', ordered(zset), 0, 0, 'WITHSCORES')
  if first[1] then return first[1], tonumber(first[2]) end
end

-- The names after this one, of a group if one is given, as many as this call may still touch, and where to go on if there are
-- more.
local room = PART
local function part_of(zset, after, group)
  if room == 0 then return {}, given(after) and after or '' end
  local since, last = given(after) and ('(' .. after) or '-', '+'
  if given(group) then
    local first = group .. '\0'
    if not (given(after) and after >= first) then since = '[' .. first end
    last = '(' .. group .. '\1'
  end
  local keys = redis.call('ZRANGEBYLEX', ordered(zset), since, last, 'LIMIT', 0, room)
  room = room - #keys
  return keys, room == 0 and keys[#keys] or nil
end

-- See `script.rs`.
return (function()

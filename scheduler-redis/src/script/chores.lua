
-- What one that takes its place takes over.
local function runs_of(s) return { i = s[LINEAGE], u = s[RUNS], f = s[FREED], w = s[RUN] } end

local function put_trigger(t, progress, next, existing)
  local s = load(t.k)
  if not s then return insert_trigger(t, progress, next, nil) end
  if existing == 'keep' then return end
  if existing == 'update' and s[JOB] == t.j then return update_trigger(t) end
  local runs = runs_of(s)
  take_trigger(t.k)
  insert_trigger(t, progress, next, runs)
end

local function matches(pattern, value)
  if value == '' then value = 'DEFAULT' end
  if pattern.k == 'any' then return true end
  if pattern.k == 'is' then return value == pattern.v end
  if pattern.k == 'starts_with' then return string.sub(value, 1, #pattern.v) == pattern.v end
  if pattern.k == 'ends_with' then return pattern.v == '' or string.sub(value, -#pattern.v) == pattern.v end
  return string.find(value, pattern.v, 1, true) ~= nil
end

-- The triggers that are meant, a part of them, and where to go on if there are more.
local function selected(what, after)
  if what.k == 'trigger' then return load(what.v) and { what.v } or {}, nil end
  local found, keys, more = {}, nil, nil
  if what.k == 'job' then keys, more = part_of_job(what.v, after) else keys, more = part_of('ti', after) end
  fetch('ts', keys)
  for _, key in ipairs(keys) do
    local s = load(key)
    local meant = what.k == 'all' or what.k == 'job'
      or (what.k == 'trigger_group' and matches(what.g, group_of(key)))
      or (what.k == 'job_group' and s and matches(what.g, group_of(s[JOB])))
    if s and meant then found[#found + 1] = key end
  end
  return found, more
end

-- Chores: what touches more triggers than one call may, with how far it has come. Whoever began one goes on with it; should
-- that one be gone, whoever beats next does. Those that could undo one another wait for each other.

local CHORES = {}

local function go_on(number, chore)
  local keys, found, more = {}, selected(chore.what, chore.after)
  for _, key in ipairs(found) do
    if CHORES[chore.verb](chore, key, load(key)) then keys[#keys + 1] = key end
  end
  if more then
    chore.after, chore.at = more, text(server_millis())
    redis.call('HSET', K'chores', number, cjson.encode(chore))
  else
    redis.call('HDEL', K'chores', number)
  end
  wake = true
  return { keys = keys, chore = more and number or nil }
end

local function begin(chore) return go_on(text(count()), chore) end

local function read_chore(json)
  local chore = decoded(json)
  return chore and CHORES[chore.verb] and type(chore.what) == 'table' and chore
end

local function abandoned()
  local all = redis.call('HGETALL', K'chores')
  for n = 1, #all, 2 do
    local chore = read_chore(all[n + 1])
    if not chore then
      redis.call('HDEL', K'chores', all[n])
      report('chore', all[n], 'what was left of a change is destroyed; repeat the last pause, resume or change of a job')
    elseif server_millis() - (tonumber(chore.at) or 0) > ABANDONED then
      return all[n], chore
    end
  end
end

function CHORES.pause(chore, key, s)
  local stays = chore.what.k ~= 'trigger' and s[STATE] == 'P' and ends_later(s[PAUSE_END], chore.note)
  return not stays and pause_trigger(key, chore.note)
end

function CHORES.resume(chore, key, s)
  local kept = chore.what.k == 'trigger_group' and get('pj', group_of(s[JOB]))
  return not kept and apply(key, 'resume')
end

-- The place of a trigger depends on its job, which has changed.
function CHORES.move(_, key, s)
  local meta = job(s[JOB])
  if not meta then return end
  dequeue(key, s)
  move_to(key, s, group_in(s[LANE]) .. '\0' .. meta.y, meta.x)
  save(key, s)
  enqueue(key, s)
end

-- Also says which chore is left, if one is.
local function put_job(jk, record, existing)
  local before = get('jd', jk)
  -- One that somebody has destroyed is as none, but for its name.
  local meta, known_meta = read_job(record), before and read_job(before)
  if known_meta and existing == 'keep' then return nil end
  if known_meta and existing == 'update' and known_meta.p and meta.p then
    -- What runs have changed stays.
    local data = data_of(before)
    if data then record = string.match(record, '^(.[^%z]*%z[^%z]*%z)') .. data end
  end
  put('jd', jk, record)
  if not before then
    place('ji', jk, '0')
    add('gj', group_of(jk), 1)
  elseif not known_meta or known_meta.x ~= meta.x or known_meta.y ~= meta.y then
    return begin({ verb = 'move', what = { k = 'job', v = jk } }).chore
  end
end

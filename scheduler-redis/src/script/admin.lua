
-- What users change.

-- The runs that are meant, a part of them, and where to go on if there are more. They are in as many hashes as there are
-- sessions.
local function firings(what)
  local ids, all, more = {}, {}, nil
  if what.k == 'one' then
    local _, home = claim_of(what.v)
    all = { what.v, home and get(home, what.v) }
  else
    local homes, after, cursor = {}, string.match(given(request.after) and request.after or ' 0', '^(.*) (%d+)$')
    for _, session in ipairs(redis.call('SMEMBERS', K'homes')) do homes[#homes + 1] = 'cl:' .. session end
    for _, name in ipairs(redis.call('SMEMBERS', K'graves')) do homes[#homes + 1] = 'grave:' .. name end
    table.sort(homes)
    for _, home in ipairs(homes) do
      if home >= after and not more then
        local found = redis.call('HSCAN', K(home), home == after and cursor or '0', 'COUNT', PART)
        for _, word in ipairs(found[2]) do all[#all + 1] = word end
        if found[1] ~= '0' then more = home .. ' ' .. found[1] elseif #all >= 2 * PART then more = home .. '! 0' end
      end
    end
  end
  for n = 1, #all - 1, 2 do
    local claim = all[n + 1] and read_claim(all[n + 1])
    local meant = claim and (what.k == 'all' or what.k == 'one' or (what.k == 'job' and claim[OF_JOB] == what.v)
      or (what.k == 'trigger' and claim[TRIGGER] == what.v) or (what.k == 'group' and claim[GROUP] == what.v))
    if meant then ids[#ids + 1] = { all[n], claim[OF_JOB], claim[TRIGGER], text(claim[SINCE]), claim[GROUP] } end
  end
  return { rows = ids, after = more }
end

function V.cancel()
  local meant = firings(request.what)
  for _, row in ipairs(meant.rows) do redis.call('HSETNX', K('stop:' .. session_of(row[1])), row[1], 'requested') end
  wake = true
  return meant
end

function V.executions() return firings(request.what) end

function V.release()
  for _, row in ipairs(request.claims) do release(row[1], row[2]) end
  wake = true
  return {}
end

-- The rows: so many jobs as the request says, each with key and record, then triggers, each with key, job, description,
-- priority, overlap policy, execution group as in the lane, calendar, progress after its only firing, progress, and next time.
function V.put()
  local OF_JOBS, OF_TRIGGERS = 2, 10
  local first = ROWS + OF_JOBS * request.jobs
  local jobs, named, keys = {}, {}, {}
  for at = ROWS, first - 1, OF_JOBS do jobs[#jobs + 1] = ARGV[at] end
  for at = first, #ARGV, OF_TRIGGERS do
    keys[#keys + 1] = ARGV[at]
    named[#named + 1] = ARGV[at + 1]
  end
  fetch('jd', jobs)
  fetch('jd', named)
  fetch('jo', named)
  fetch('ts', keys)
  local taken, seen, new = {}, {}, {}
  -- Jobs of other parts.
  for _, jk in ipairs(given(request.known) and request.known or {}) do new[jk] = true end
  for _, jk in ipairs(jobs) do
    new[jk] = true
    if request.ej == 'refuse' and get('jd', jk) then taken[#taken + 1] = { 'job', jk } end
  end
  for _, key in ipairs(keys) do
    if request.et == 'refuse' and get('ts', key) then taken[#taken + 1] = { 'trigger', key } end
    if seen[key] then return refuse('twice', { { 'trigger', key } }) end
    seen[key] = true
  end
  if #taken > 0 then return refuse('taken', taken) end
  for at = first, #ARGV, OF_TRIGGERS do
    local key, jk, a = ARGV[at], ARGV[at + 1], ARGV[at + 6]
    if not new[jk] and not job(jk) then return refuse('job', { { key, jk } }) end
    if a ~= '' and redis.call('HEXISTS', K'cal', a) == 0 then return refuse('calendar', { { key, a } }) end
  end
  -- Of several parts none takes effect if one cannot.
  if request.check then return {} end
  local chores = {}
  for at = ROWS, first - 1, OF_JOBS do chores[#chores + 1] = put_job(ARGV[at], ARGV[at + 1], request.ej) end
  for at = first, #ARGV, OF_TRIGGERS do
    local t = {
      k = ARGV[at], j = ARGV[at + 1], d = ARGV[at + 2], p = ARGV[at + 3], o = ARGV[at + 4], e = ARGV[at + 5], a = ARGV[at + 6],
      f = ARGV[at + 7],
    }
    put_trigger(t, ARGV[at + 8], tonumber(ARGV[at + 9]), request.et)
  end
  wake = true
  return { chores = chores }
end

function V.reschedule()
  local s, t = load(request.old), request.t
  if not s or (given(request.r) and text(s[REVISION]) ~= request.r) then return { done = false } end
  if s[JOB] ~= t.j then return refuse('other', { { request.old, s[JOB] } }) end
  if not job(t.j) then return refuse('job', { { t.k, t.j } }) end
  if t.k ~= request.old and load(t.k) then return refuse('taken', { { 'trigger', t.k } }) end
  if t.a ~= '' and redis.call('HEXISTS', K'cal', t.a) == 0 then return refuse('calendar', { { t.k, t.a } }) end
  if not given(request.p) and t.k == request.old then
    update_trigger(t)
  else
    local progress, next = request.p, num(request.n)
    if not given(progress) then progress, next = s[PROGRESS], s[NEXT] or nil end
    local runs = t.k == request.old and runs_of(s) or nil
    take_trigger(request.old)
    insert_trigger(t, progress, next, runs)
  end
  wake = true
  return { done = true }
end

function V.adjust()
  local results = {}
  for n, a in ipairs(request.adjustments) do
    local s = load(a.k)
    if not s or s[PROGRESS] ~= a.from then
      results[n] = false
    else
      dequeue(a.k, s)
      local next = num(a.n)
      if s[STATE] == 'A' or s[STATE] == 'W' then s[STATE] = next and 'W' or 'C' end
      withdraw(a.k, s)
      move_on(s, a.to, next)
      save(a.k, s)
      enqueue(a.k, s)
      results[n] = true
    end
  end
  wake = true
  return results
end

function V.remove_triggers()
  local results = {}
  fetch('ts', request.keys)
  for n, key in ipairs(request.keys) do
    local s = remove_trigger(key)
    results[n] = { f = s ~= nil, j = s ~= nil and drop_if_orphaned(s[JOB]) }
  end
  return results
end

-- As many of the first ones as fit into one call.
function V.remove_jobs()
  local results = {}
  for n, jk in ipairs(request.keys) do
    local found = get('jd', jk) ~= false
    local keys, more = {}, nil
    if found then keys, more = part_of_job(jk, nil) end
    for _, key in ipairs(keys) do
      if not remove_trigger(key) then leave_job(jk, key) end
    end
    if more then break end
    if found then
      drop_job(jk)
      put('jo', jk, false)
    end
    results[n] = found
  end
  return { results = results }
end

function V.clear()
  local keys, more = part_of('ti')
  fetch('ts', keys)
  for _, key in ipairs(keys) do remove_trigger(key) end
  if more then return { more = true } end
  keys, more = part_of('ji')
  for _, jk in ipairs(keys) do
    drop_job(jk)
    redis.call('DEL', K('jt:' .. jk))
  end
  if more then return { more = true } end
  write_states()
  write()
  for _, name in ipairs({ 'jo', 'cal', 'pg', 'pj', 'px', 'pe', 'over', 'gt', 'gj', 'chores' }) do redis.call('DEL', K(name)) end
  redis.call('HDEL', K'meta', 'all')
  return {}
end

local function named_groups(pattern, hash)
  if pattern.k == 'is' then return { pattern.v == 'DEFAULT' and '' or pattern.v } end
  local found = {}
  for _, group in ipairs(redis.call('HKEYS', K(hash))) do
    if matches(pattern, group) then found[#found + 1] = group end
  end
  return found
end

local function remember_groups(what, note)
  if what.k == 'trigger_group' or what.k == 'all' then
    local groups = what.k == 'all' and redis.call('HKEYS', K'gt') or named_groups(what.g, 'gt')
    for _, group in ipairs(groups) do
      put('pg', group, note)
      ends('g' .. group, note)
    end
  end
  if what.k == 'job_group' then
    for _, group in ipairs(named_groups(what.g, 'gj')) do
      put('pj', group, note)
      ends('j' .. group, note)
    end
  end
  if what.k == 'all' then
    put('meta', 'all', note)
    redis.call('DEL', K'px')
    ends('a', note)
  end
end

-- Whether another chore is to be finished first.
local function must_wait(what) return what.k ~= 'trigger' and redis.call('EXISTS', K'chores') == 1 end

function V.pause()
  if must_wait(request.what) then return { wait = true } end
  remember_groups(request.what, request.note)
  return begin({ verb = 'pause', what = request.what, note = request.note })
end

local function forget_groups(what)
  local function forget(hash, pattern)
    for _, group in ipairs(redis.call('HKEYS', K(hash))) do
      if matches(pattern, group) then put(hash, group, false) end
    end
  end
  local ANY = { k = 'any' }
  if what.k == 'trigger_group' then
    forget('pg', what.g)
    if what.g.k == 'any' then
      put('meta', 'all', false)
    else
      for _, group in ipairs(named_groups(what.g, 'gt')) do redis.call('SADD', K'px', group) end
    end
  elseif what.k == 'job_group' then
    forget('pj', what.g)
  elseif what.k == 'all' then
    forget('pg', ANY)
    forget('pj', ANY)
    redis.call('DEL', K'px', K'pe')
    put('meta', 'all', false)
  end
end

function V.resume()
  if must_wait(request.what) then return { wait = true } end
  forget_groups(request.what)
  return begin({ verb = 'resume', what = request.what })
end

-- Goes on with a chore: the one of this number, or one that is anybody's.
function V.chore()
  local number, chore = request.number, nil
  if given(number) then
    local found = redis.call('HGET', K'chores', number)
    chore = found and read_chore(found)
  else
    number, chore = abandoned()
  end
  return chore and go_on(number, chore) or { keys = {} }
end

function V.reset()
  local results = {}
  for n, key in ipairs(request.keys) do
    results[n] = load(key) ~= nil and apply(key, 'reset')
    local note = results[n] and at_birth(key, load(key)[JOB])
    if note then pause_trigger(key, note) end
  end
  wake = true
  return results
end

function V.put_calendar()
  if not request.replace and redis.call('HEXISTS', K'cal', request.name) == 1 then return refuse('calendar', {}) end
  redis.call('HSET', K'cal', request.name, request.calendar)
  return {}
end

function V.remove_calendar()
  local user = redis.call('SRANDMEMBER', K('cu:' .. request.name))
  if user then return refuse('used', { { user } }) end
  return { done = redis.call('HDEL', K'cal', request.name) == 1 }
end

-- Marks. One that was destroyed is as none.
local function read_mark(name)
  local record = get('marks', name)
  local revision, said = string.match(record or '', '^(%d+)%z(.*)$')
  if record and not revision then report('mark', name, 'it cannot be read, as if it were not there') end
  return revision, said
end

function V.mark()
  local revision, said = read_mark(request.name)
  return { revision = revision, text = said }
end

function V.put_mark()
  local known, expected = read_mark(request.name), given(request.revision) and request.revision or nil
  if known ~= expected then return {} end
  local revision = text(count())
  put('marks', request.name, revision .. '\0' .. request.text)
  return { revision = revision }
end

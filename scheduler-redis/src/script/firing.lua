
-- The way of a firing.

-- What has come about by itself by now: claims have lapsed, pauses have ended, runs are to make way for the next one.
local function end_pause(what, now)
  local score = tonumber(redis.call('ZSCORE', K'pe', what))
  redis.call('ZREM', K'pe', what)
  local function is_over(note) return note and (end_of(note) or math.huge) <= score end
  local kind, name = string.sub(what, 1, 1), string.sub(what, 2)
  if kind == 't' then
    local g, key = string.match(name, '^(%d+):(.*)$')
    local s = g and load(key)
    if not (s and s[STATE] == 'P' and text(s[GENERATION]) == g and s[PAUSE_END] and s[PAUSE_END] <= now) then return end
    local note = at_birth(key, s[JOB])
    local ended = note and end_of(note)
    if note and not (ended and ended <= now) then pause_trigger(key, note) else apply(key, 'resume') end
  elseif kind == 'g' then
    if is_over(get('pg', name)) then put('pg', name, false) end
  elseif kind == 'j' then
    if is_over(get('pj', name)) then put('pj', name, false) end
  elseif is_over(pause_of_all()) then
    put('meta', 'all', false)
  end
end

local function settle(now)
  local function come(zset) return redis.call('ZRANGEBYSCORE', ordered(zset), '-inf', text(now), 'LIMIT', 0, BATCH) end
  for _, key in ipairs(come('lapse')) do
    place('lapse', key, false)
    apply(key, 'release')
  end
  for _, what in ipairs(come('pe')) do end_pause(what, now) end
  for _, key in ipairs(come('over')) do
    redis.call('ZREM', K'over', key)
    local s = load(key)
    for _, id in ipairs(s and runs_under_way(s) or {}) do
      if redis.call('HSETNX', K('stop:' .. session_of(id)), id, 'superseded') == 1 then others = true end
    end
  end
end

-- Begins the run of a trigger that was due then.
local node = given(request.node) and request.node or ''
local function start(id, key, s, due)
  s[FREED] = false
  begin_run(s, id)
  save_claim(id, {
    true, s[EXCLUSIVE], s[GENERATION], s[LINEAGE], tonumber(request.now), due, key, s[JOB], group_of_lane(s[LANE]), node,
  }, home_of(id))
end

-- The job of a run as it stands; in place of one that an earlier row of the answer has, the number of that row.
local sent = {}
local function job_for(jk, number)
  if sent[jk] then return 'as', text(sent[jk]) end
  sent[jk] = number
  return 'run', get('jd', jk) or ''
end

-- Ends a run. Returns its claim, and its trigger if that is still there.
local function finish_run(id)
  local claim = end_claim(id)
  local s = claim and load(claim[TRIGGER])
  if not (s and s[LINEAGE] == claim[OF_LINEAGE]) then return claim, nil end
  if keeps_back(s) then
    local now = tonumber(request.now)
    dequeue(claim[TRIGGER], s)
    end_run(s, id)
    if s[NEXT] and s[NEXT] <= now then s[FREED] = now end
    enqueue(claim[TRIGGER], s)
    wake = true
  else
    end_run(s, id)
  end
  save(claim[TRIGGER], s)
  return claim, s
end

-- Acquiring. What is due once, now, and not late, is fired in the same step, unless something keeps it back.
local fires_since = num(request.fires_since)
local fired = {}
local function is_punctual(s) return s[ONCE] ~= '' and s[NEXT] and s[NEXT] >= fires_since and s[NEXT] <= tonumber(request.now) end
local function fires_at_once(s)
  return fires_since and is_punctual(s) and not (s[RUNS] > 0 and s[OVERLAP] == 'skip') and get('jd', s[JOB])
end

-- A node takes from the lanes that are open to it, the earliest first. Each is a table of its name, its execution
-- group, when it is due, and its first member. What comes after that is read ahead.

local function step(lane)
  lane.place = lane.place + 1
  lane.m, lane.key = lane.ahead[lane.place], lane.keys[lane.place]
  local s = lane.m and load(lane.key)
  -- One whose state is destroyed has no time: it is taken out at once.
  lane.at = s and s[NEXT] or NEVER
end

-- Those that were taken from the head of a lane go together.
local function clear_head(lane)
  if lane.taken then redis.call('ZREMRANGEBYRANK', K(zset_of(lane.name)), 0, lane.taken - 1) end
  lane.taken = nil
end

local function take_out(lane)
  if lane.since or lane.place ~= (lane.taken or 0) + 1 then return step_out(lane.name, lane.m) end
  lane.taken = lane.place
  touched[lane.name] = true
end

-- From `since` on if that is given.
local function look(lane, since, many)
  clear_head(lane)
  lane.ahead = redis.call('ZRANGEBYSCORE', ordered(zset_of(lane.name)), since or '-inf', '+inf', 'LIMIT', 0, many)
  lane.place, lane.since, lane.many, lane.keys = 0, since, many, {}
  for n, m in ipairs(lane.ahead) do lane.keys[n] = key_of(m) end
  fetch('ts', lane.keys)
  if fires_since then
    local jobs = {}
    for _, key in ipairs(lane.keys) do
      local s = load(key)
      if s and is_punctual(s) then jobs[#jobs + 1] = s[JOB] end
    end
    fetch('jd', jobs)
  end
  step(lane)
end

local function go_to_next(lane)
  if lane.place == #lane.ahead and #lane.ahead == lane.many then look(lane, lane.since, lane.many) else step(lane) end
end

-- How many of a group the node may take: what is left on it, and on all nodes together. None for any number.
local function left_of(group)
  if group == '0' then return num(request.ungrouped) end
  local name = string.sub(group, 2)
  local here, on_all = num(request.named[name]) or num(request.others), num(request.shared[name])
  if not on_all then return here end
  local free = math.max(0, on_all - sum('eg', group))
  if free == 0 then redis.call('SADD', K'ew', group) end
  return math.min(here or free, free)
end

-- The types that a node can run and that have something.
local function types_of(session)
  local able = given(session.t) and {}
  for _, name in ipairs(able and decoded(session.t) or {}) do able[name] = true end
  local types = {}
  for _, name in ipairs(redis.call('SMEMBERS', K'types')) do
    if not able or able[name] then types[#types + 1] = name end
  end
  return types
end

-- The lanes that are open, the earliest of each type: more than one call can take from, or all. Also adds to what is `left`.
local function open_lanes(types, left)
  local lanes = {}
  for _, job_type in ipairs(types) do
    local first, open, found = 0, 0, nil
    repeat
      found = redis.call('ZRANGE', K('due:' .. job_type), first, first + BATCH, 'WITHSCORES')
      for n = 1, #found, 2 do
        local group = group_in(found[n])
        if left[group] == nil then left[group] = left_of(group) or math.huge end
        if left[group] > 0 then
          open = open + 1
          lanes[#lanes + 1] = { name = found[n], group = group, at = tonumber(found[n + 1]) }
        end
      end
      first = first + BATCH + 1
    until open > BATCH or #found < 2 * (BATCH + 1)
  end
  return lanes
end

local function earliest(lanes, left, limit)
  local best
  for _, lane in ipairs(lanes) do
    if lane.m and lane.at <= limit and left[lane.group] > 0
      and (not best or lane.at < best.at or (lane.at == best.at and lane.m < best.m)) then best = lane end
  end
  return best
end

-- A trigger of which only its place is left. It makes way for the others of its job.
local function report_lost(key, lane)
  report('trigger', key, 'its state is not there or cannot be read, so it does not fire; store it again')
  local description = get('td', key)
  local known = description and decoded(description)
  local group, name = unpack(known and type(known.job) == 'table' and known.job or {})
  if type(group) ~= 'string' or type(name) ~= 'string' then return end
  local jk = (group == 'DEFAULT' and '' or group) .. '\0' .. name
  redis.call('ZREM', K(queue_of(lane.name, jk)), lane.m)
  if not is_busy(jk) then offer(jk) end
end

-- Claims the first of a lane; nothing if its state is destroyed. Also says whether other lanes have changed.
local function claim_first(lane)
  local key, elsewhere = lane.key, false
  local s = load(key)
  take_out(lane)
  if not s then report_lost(key, lane) end
  if not (s and s[NEXT]) then return nil, false end
  local id = request.session .. '-' .. text(count())
  if s[EXCLUSIVE] then
    redis.call('ZREM', K(queue_of(s[LANE], s[JOB])), lane.m)
    if not head(queue_of(s[LANE], s[JOB])) then redis.call('SREM', K('ql:' .. s[JOB]), s[LANE]) end
    elsewhere = withhold(s[JOB], s[LANE])
    put('busy', s[JOB], id)
  end
  if lane.group ~= '0' then add('eg', lane.group, 1) end
  if fires_at_once(s) then
    move_on(s, s[ONCE])
    start(id, key, s, lane.at)
    fired[key] = id
  else
    s[STATE], s[CLAIM] = 'A', id
    place('lapse', key, text(math.max(lane.at, tonumber(request.now)) + tonumber(request.lapse)))
  end
  save(key, s)
  return key, elsewhere
end

-- What is due, up to the limit of the request. Once late triggers have had their share, only what is due from then on, as long
-- as there is something. Also says what is left of their share.
local function take_due(lanes, left)
  local taken, limit, due = {}, tonumber(request['until']), {}
  local late, most_late, since = num(request.late), num(request.most_late), nil
  for _, lane in ipairs(lanes) do
    if lane.at <= limit then due[#due + 1] = lane end
  end
  local function look_at_all()
    local many = math.max(4, math.ceil((request.max - #taken) / #due)) + 1
    for _, lane in ipairs(due) do look(lane, since, many) end
  end
  if request.max > 0 then look_at_all() end
  -- Counted, so that what somebody has destroyed cannot keep the server here: each step takes one out of its lane or is one of
  -- two that look again.
  for _ = 1, request.max + PART do
    local lane = #taken < request.max and earliest(due, left, limit)
    if not lane then
      if not since or #taken == request.max then break end
      late, since = nil, nil
      look_at_all()
    elseif late and lane.at < late and most_late == 0 then
      late, since = nil, text(late)
      look_at_all()
    else
      if late and lane.at < late then most_late = most_late - 1 end
      local key, elsewhere = claim_first(lane)
      if key then
        taken[#taken + 1] = key
        left[lane.group] = left[lane.group] - 1
        if left[lane.group] == 0 and lane.group ~= '0' then redis.call('SADD', K'ew', lane.group) end
      end
      if elsewhere then look_at_all() else go_to_next(lane) end
    end
  end
  for _, lane in ipairs(due) do
    clear_head(lane)
    -- A lane that is empty is not due.
    if not lane.m then touched[lane.name] = true end
  end
  return taken, most_late
end

-- When to ask again: what is due next, lapses, is to be stopped, or is paused no longer.
local function next_look(types, left)
  local due
  local function consider(time) if time and (not due or time < due) then due = time end end
  note_lanes()
  for _, lane in ipairs(open_lanes(types, left)) do consider(lane.at) end
  for _, zset in ipairs({ 'lapse', 'over', 'pe' }) do
    local _, at = head(zset)
    consider(at)
  end
  return due and text(due) or nil
end

-- Each call has a turn. One that does not come after all others does nothing: its node does not wait for it any more. Noted also
-- by one that takes nothing, which may be carried out again.
local function is_in_turn()
  if request.turn <= (tonumber(get('tn', request.session) or '0') or 0) then return false end
  put('tn', request.session, text(request.turn))
  return true
end

-- Its rows: claim, trigger, description, progress, when it was freed, calendar; of one that is fired, for which the progress is
-- that from now on, also the job, as `job_for` says.
local function answer_with(key, id, s)
  local at, what, detail = #rows, '', ''
  if fired[key] then what, detail = job_for(s[JOB], at / 8 + 1) end
  rows[at + 1], rows[at + 2], rows[at + 3], rows[at + 4] = id, key, get('td', key) or '', s[PROGRESS]
  rows[at + 5], rows[at + 6] = s[FREED] and text(s[FREED]) or '', s[CALENDAR] and get('cal', s[CALENDAR]) or ''
  rows[at + 7], rows[at + 8] = what, detail
end

-- The runs of the session that are to stop, and why.
local function stops()
  local stop, all = {}, redis.call('HGETALL', K('stop:' .. request.session))
  for n = 1, #all, 2 do stop[#stop + 1] = { all[n], all[n + 1] } end
  return stop
end

function V.acquire()
  if not is_registered(request.session) then return { lost = true } end
  local number, held = epoch()
  if held then return { s = {}, n = text(tonumber(request.now) + 100), e = number } end
  if request.max > 0 and not is_in_turn() then return { s = {}, n = request.now, e = number } end
  settle(tonumber(request.now))
  note_lanes()
  local session, left = node_of(request.session), {}
  local types = types_of(session)
  local taken, most_late = take_due(open_lanes(types, left), left)
  fetch('td', taken)
  for _, key in ipairs(taken) do
    local s = load(key)
    if s[CALENDAR] and not get('cal', s[CALENDAR]) then
      report('trigger', key, 'its calendar `' .. s[CALENDAR] .. '` is not there, so it is put into the error state; store it and reset')
      apply(key, 'fail')
    else
      answer_with(key, fired[key] or s[CLAIM], s)
    end
  end
  if next(fired) then redis.call('SADD', K'homes', request.session) end
  return { n = next_look(types, left), s = stops(), e = number, l = most_late }
end

-- What was fired for a node by calls whose answers were lost: its runs with larger numbers than it knew of then. Those calls do
-- nothing from now on. What has been removed or replaced since does not run. Of a server that has forgotten something nothing is
-- to be heard before it was told.
function V.unheard()
  if not is_registered(request.session) then return { lost = true } end
  local number = epoch()
  if number ~= request.epoch then return { replaced = true, e = number } end
  if not is_in_turn() then return { late = true, e = number } end
  local ids = unknown_runs()
  table.sort(ids, function(a, b) return number_of(a) < number_of(b) end)
  for _, id in ipairs(ids) do
    local claim = number_of(id) > tonumber(request.since) and claim_of(id, true)
    local s = claim and load(claim[TRIGGER])
    if s and s[GENERATION] == claim[OF_GENERATION] and get('jd', s[JOB]) then
      fired[claim[TRIGGER]] = id
      answer_with(claim[TRIGGER], id, s)
    elseif claim then
      finish_run(id)
    end
  end
  return { n = request.now, s = stops(), e = number }
end

-- Takes back runs that were fired as they were claimed and that their node cannot begin: they are claimed again, with the
-- progress of before.
function V.unfire()
  for _, run in ipairs(request.runs) do
    local claim, s = finish_run(run.c)
    if s and s[GENERATION] == claim[OF_GENERATION] and not s[NEXT] then
      move_on(s, run.p, claim[DUE])
      save(claim[TRIGGER], s)
      enqueue(claim[TRIGGER], s)
    end
  end
  wake = true
  return {}
end

-- What cannot be read is put aside, so that it does not come up again and again.
function V.spoil()
  for _, key in ipairs(request.keys) do apply(key, 'fail') end
  return {}
end

-- Whether the session of a claim lives on since it was made.
local function is_of_the_living(id)
  local session = session_of(id)
  local since = tonumber(get('sc', session) or '')
  return since and number_of(id) > since
end

-- One row: claim, trigger, next progress, next time, and `1` if it is to run. Answers what has become of it, and the job of a
-- run.
function V.fire()
  local OF_FIRINGS = 5
  local keys, jobs = {}, {}
  for at = ROWS, #ARGV, OF_FIRINGS do keys[#keys + 1] = ARGV[at + 1] end
  fetch('ts', keys)
  for n, key in ipairs(keys) do
    local s = load(key)
    jobs[n] = s and s[JOB] or ''
  end
  fetch('jd', jobs)
  local number = 0
  for at = ROWS, #ARGV, OF_FIRINGS do
    local id, key, progress, next, runs = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4] == '1'
    local s, what, detail = load(key), 'stale', ''
    number = number + 1
    if not (s and s[CLAIM] == id and is_of_the_living(id)) then
      -- The same call again, if it runs.
      local claim = claim_of(id, true)
      if claim and get('jd', claim[OF_JOB]) then what, detail = job_for(claim[OF_JOB], number) end
    elseif not get('jd', s[JOB]) then
      -- Somebody has removed its job by hand.
      apply(key, 'fail')
    else
      local due, group = s[NEXT], group_of_lane(s[LANE])
      place('lapse', key, false)
      s[STATE], s[CLAIM], s[FREED] = 'W', false, false
      move_on(s, progress, next)
      if runs and not (s[RUNS] > 0 and s[OVERLAP] == 'skip') then
        start(id, key, s, due)
        what, detail = job_for(s[JOB], number)
      else
        if not next then s[STATE] = 'C' end
        free(id, s[JOB], s[EXCLUSIVE], group)
        what = runs and 'overlapped' or 'advanced'
      end
      save(key, s)
      enqueue(key, s)
    end
    rows[#rows + 1] = what
    rows[#rows + 1] = detail
  end
  if number > 0 then redis.call('SADD', K'homes', session_of(ARGV[ROWS])) end
  return {}
end

-- Reads the runs that the rows of a request begin with, so many texts each, and the states of their triggers. Returns their jobs.
local function fetch_runs(width)
  local ids, keys, jobs = {}, {}, {}
  for at = ROWS, #ARGV, width do
    local of_session = of(ids, home_of(ARGV[at]))
    of_session[#of_session + 1] = ARGV[at]
  end
  for home, names in pairs(ids) do
    fetch(home, names)
    for _, id in ipairs(names) do
      local claim = claim_of(id)
      if claim then
        keys[#keys + 1] = claim[TRIGGER]
        jobs[#jobs + 1] = claim[OF_JOB]
      end
    end
  end
  fetch('ts', keys)
  return jobs
end

-- Of a run that ends its whole job nothing else is done until all triggers have been told, a part in each call.
local STEPS = { finish_job = 'finish', fail_job = 'fail' }
local function tell_job(c, jk)
  local keys, more = part_of_job(jk, c.after)
  fetch('ts', keys)
  for _, key in ipairs(keys) do apply(key, STEPS[c.i]) end
  return more
end

-- An end is a table: c claim, i instruction, and if there are: data of the job, record of the history, after (see `tell_job`).
-- Says `gone`, or whether there is more, or whether the trigger was removed.
local function complete(c)
  local claim = claim_of(c.c)
  if not claim then return { gone = true } end
  local more = STEPS[c.i] and tell_job(c, claim[OF_JOB])
  if more then return { more = more } end
  local _, s = finish_run(c.c)
  if given(c.record) then redis.call('XADD', K'hist', 'MAXLEN', '~', request.keep, '*', 'r', c.record) end
  if given(c.data) then
    local record = get('jd', claim[OF_JOB])
    local meta = record and read_job(record)
    -- Somebody may have destroyed the record meanwhile.
    local bare = meta and meta.p and string.match(record, '^(.[^%z]*%z[^%z]*%z)')
    if bare then put('jd', claim[OF_JOB], bare .. c.data) end
  end
  local current = s and s[GENERATION] == claim[OF_GENERATION]
  if current and c.i == 'finish_trigger' then
    apply(claim[TRIGGER], 'finish')
  elseif current and c.i == 'fail_trigger' then
    apply(claim[TRIGGER], 'fail')
  elseif current and c.i == 'remove_trigger' and not s[NEXT] then
    remove_trigger(claim[TRIGGER])
    return { removed = claim[OF_JOB] }
  end
  return {}
end

-- One row: claim, instruction, data, record, and where to go on; each may be empty. Answers `gone`, `more` with where to go on,
-- or what was removed: `t` the trigger, `j` the job too.
function V.complete()
  local number = epoch()
  -- What is unknown here may have been forgotten: the node tells it first.
  if number ~= request.epoch then return { e = number } end
  fetch('jo', fetch_runs(5))
  local function unless_empty(value) return value ~= '' and value or nil end
  local results, jobs = {}, {}
  for at = ROWS, #ARGV, 5 do
    local result = complete({
      c = ARGV[at], i = ARGV[at + 1], data = unless_empty(ARGV[at + 2]), record = unless_empty(ARGV[at + 3]),
      after = unless_empty(ARGV[at + 4]),
    })
    results[#results + 1] = result
    jobs[#jobs + 1] = result.removed
  end
  fetch('jd', jobs)
  -- From behind: a job goes with the last of its triggers.
  for n = #results, 1, -1 do
    local jk = results[n].removed
    results[n].j = jk and drop_if_orphaned(jk)
  end
  for n, result in ipairs(results) do
    rows[2 * n - 1] = result.gone and 'gone' or result.more and 'more' or result.j and 'j' or result.removed and 't' or ''
    rows[2 * n] = result.more or ''
  end
  return { e = number }
end

-- Runs that were stopped before their end, since their node had lost touch: as if it had died with them.
function V.abandon()
  local number = epoch()
  -- What is unknown here may have been forgotten: the node tells it first.
  if number ~= request.epoch then return { e = number } end
  local name
  for _, id in ipairs(request.claims) do
    local claim, home = claim_of(id, true)
    if claim then
      name = name or session_of(id) .. '@' .. text(count())
      put(home, id, false)
      save_claim(id, claim, 'grave:' .. name)
    end
  end
  if name then redis.call('SADD', K'graves', name) end
  return { e = number }
end

-- An end of which nobody waits to hear.
local function bury(c)
  local result = complete(c)
  if result.removed then drop_if_orphaned(result.removed) end
  return result.more
end

-- Ends runs whose node is gone, and puts in place what repeats them.
function V.bury()
  for _, c in ipairs(request.executions) do
    local again, claim = c.again, claim_of(c.c)
    if given(again) and claim and job(again.t.j) and not load(again.t.k) then
      insert_trigger(again.t, again.p, num(again.n), nil)
    end
    bury(c)
  end
  wake = true
  return {}
end

-- Takes a job away from a claim that was not fired.
local function give_back(id)
  local key = claimant(id)
  if key then release(key, id) end
end

-- A run that a node knows, and a server that came back with older data may not: fires it again as before.
local function reassert(f)
  local session, s, claim = session_of(f.c), load(f.k), claim_of(f.c)
  local holder = s and is_busy(s[JOB])
  -- By a run, and not only by a claim.
  local held = holder and holder ~= f.c and claim_of(holder)
  if claim then return claim_of(f.c, true) and 'known' or 'overtaken' end
  -- The end of the other may still be told.
  if held and redis.call('SISMEMBER', K'untold', session_of(holder)) == 1 then return 'wait' end
  local as_before = s and job(s[JOB]) and (s[STATE] == 'W' or s[STATE] == 'A') and s[PROGRESS] == f.from
  if not as_before or held or redis.call('SISMEMBER', K'untold', session) == 0 then return 'overtaken' end
  if holder and holder ~= f.c and holder ~= s[CLAIM] then give_back(holder) end
  dequeue(f.k, s)
  s[STATE] = 'W'
  withdraw(f.k, s)
  move_on(s, f.p, num(f.n))
  begin_run(s, f.c)
  local group = group_in(s[LANE])
  if group == '0' then group = nil end
  local claimed = {
    true, s[EXCLUSIVE], s[GENERATION], s[LINEAGE], tonumber(f.s), num(f.d) or 0, f.k, s[JOB], group or false, '',
  }
  save_claim(f.c, claimed, 'cl:' .. session)
  redis.call('SADD', K'homes', session)
  if group then add('eg', group, 1) end
  if s[EXCLUSIVE] then
    withhold(s[JOB])
    put('busy', s[JOB], f.c)
  end
  save(f.k, s)
  enqueue(f.k, s)
  return 'again'
end

-- Ends again what has ended, and fires again what is running. Together, so that nobody takes in between what the one frees for
-- the other.
function V.tell()
  local flights, ended = {}, {}
  for n, c in ipairs(request.executions) do
    if given(c.flight) then reassert(c.flight) end
    ended[n] = bury(c) or NONE
  end
  for n, f in ipairs(request.flights) do flights[n] = reassert(f) end
  return { flights = flights, ended = ended }
end

function V.told()
  if epoch() == request.epoch then redis.call('SREM', K'untold', request.session) end
  wake = true
  return {}
end

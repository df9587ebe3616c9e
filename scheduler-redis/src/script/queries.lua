
-- What users ask.

function V.calendars()
  local found, all = {}, redis.call('HGETALL', K'cal')
  for n = 1, #all, 2 do found[#found + 1] = { all[n], all[n + 1] } end
  return found
end

-- Its rows: the key, and what nodes read of each.
function V.jobs()
  local keys, more = request.keys, nil
  if #keys == 0 then keys, more = part_of('ji', request.after, request.group) end
  fetch('jd', keys)
  for _, jk in ipairs(keys) do
    local record = get('jd', jk)
    if record then
      rows[#rows + 1] = jk
      rows[#rows + 1] = record
    elseif #request.keys == 0 then
      report('job', jk, 'its record is not there; store it again')
    end
  end
  return { after = more }
end

-- Its rows: key, description, progress, how it stands, how many runs, `1` if its job keeps it waiting, note of its pause, revision.
function V.triggers()
  local keys, more = request.keys, nil
  if given(request.calendar) then
    local part = redis.call('SSCAN', K('cu:' .. request.calendar), given(request.after) and request.after or '0', 'COUNT', PART)
    keys, more = part[2], part[1] ~= '0' and part[1] or nil
  elseif given(request.job) then
    keys, more = part_of_job(request.job, request.after)
  elseif #keys == 0 then
    keys, more = part_of('ti', request.after, request.group)
  end
  fetch('ts', keys)
  fetch('td', keys)
  for _, key in ipairs(keys) do
    local s = load(key)
    if s then
      local holder = s[EXCLUSIVE] and is_busy(s[JOB])
      local claim, at = holder and claim_of(holder), #rows
      rows[at + 1], rows[at + 2], rows[at + 3], rows[at + 4] = key, get('td', key) or '', s[PROGRESS], s[STATE]
      rows[at + 5], rows[at + 6] = tostring(s[RUNS]), claim and '1' or ''
      rows[at + 7], rows[at + 8] = s[NOTE] or '', text(s[REVISION])
    elseif #request.keys == 0 or get('ts', key) then
      report('trigger', key, 'its state is not there or cannot be read; store it again')
    end
  end
  return { after = more }
end

-- Its rows: each run.
function V.history()
  local last = given(request.after) and ('(' .. request.after) or '+'
  local found = redis.call('XREVRANGE', K'hist', last, '-', 'COUNT', PART)
  for n, entry in ipairs(found) do rows[n] = entry[2][2] end
  return { after = #found == PART and found[PART][1] or nil }
end

function V.groups()
  local jobs = request.kind == 'jobs'
  local names, members, all = {}, {}, redis.call('HGETALL', K(jobs and 'gj' or 'gt'))
  for n = 1, #all, 2 do
    names[#names + 1] = all[n]
    members[all[n]] = tonumber(all[n + 1])
  end
  local hash = jobs and 'pj' or 'pg'
  for _, group in ipairs(redis.call('HKEYS', K(hash))) do
    if not members[group] then
      names[#names + 1] = group
      members[group] = 0
    end
  end
  local found = {}
  for n, group in ipairs(names) do
    local note = get(hash, group)
    if not note and not jobs and pause_of_all() and redis.call('SISMEMBER', K'px', group) == 0 then note = pause_of_all() end
    found[n] = { group, members[group], note or nil }
  end
  return found
end

-- Gates: how much of each limit is used, and which runs wait for it. What is here is defined when a script first needs it.
--
-- A run that finds a gate full leaves its lane and is parked at the gate: it stands in a list of that, one for each lane, and holds nothing.
-- When there is room, the first ones of each lane are let out: they stand in their lane again, before whatever became due later. Until such a
-- run is looked at it counts as out, so that no more are let out than there is room for; whatever else becomes of it, the next one is.
local gates_of_call

local function gates()
  if gates_of_call then return gates_of_call end
  local byte, sub = string.byte, string.sub
  -- The lanes in which somebody was let out.
  local G = { lanes = {} }
  -- Of one lane no more are out at a time.
  local MOST_OUT = 100
  local used, changed, waits, seen, moved, any = {}, {}, {}, {}, {}, nil

  local function list_of(lane, gate) return 'g:' .. lane .. '\1' .. gate end
  local function out_of(lane, gate) return 'go:' .. lane .. '\1' .. gate end
  G.list_of, G.out_of = list_of, out_of

  -- The gates of a run: name and key, weight, cap.
  function G.of(record)
    local at, many, scale = 13, 0, 1
    repeat
      local digit = byte(record, at) or 0
      many, scale, at = many + digit % 128 * scale, scale * 128, at + 1
    until digit < 128
    local text = sub(record, at, at + many - 1)
    if seen[text] then return seen[text] end
    local found, from = {}, 1
    while from <= #text do
      local weight, cap, length, begin = string.match(text, '^(%d+) (%d+) (%d+):()', from)
      if not weight then break end
      from = begin + tonumber(length)
      found[#found + 1] = { sub(text, begin, from - 1), tonumber(weight), tonumber(cap) }
    end
    seen[text] = found
    return found
  end

  local checked = {}
  -- Fails before anything is written if a key of this gate is of the wrong kind.
  function G.check(gate, lane)
    local known = checked[gate] or {}
    if checked[gate] and (not lane or known[lane]) then return end
    checked[gate], known[lane or ''] = known, true
    check('gates', 'parked', 'runs', 'alone', 'busy', 'lanes', 'gl:' .. gate)
    local lanes = call('SMEMBERS', K('gl:' .. gate))
    lanes[#lanes + 1] = lane
    for _, known in ipairs(lanes) do check(list_of(known, gate), out_of(known, gate), 'lane:' .. known) end
  end

  -- As `check`, for the gate at which a run waits.
  function G.check_noted(name, lane)
    check('parked')
    local noted = call('HGET', K'parked', name)
    if noted then G.check(sub(noted, 2), lane) end
  end

  local function used_of(gate)
    if not used[gate] then used[gate] = tonumber(call('HGET', K'gates', gate) or '') or 0 end
    return used[gate]
  end

  -- So much more is used, or less.
  function G.use(gate, many)
    used[gate] = math.max(0, used_of(gate) + many)
    changed[gate] = true
    if many < 0 then moved[gate] = true end
  end

  local function is_waited_for(gate)
    if waits[gate] == nil then waits[gate] = call('EXISTS', K('gl:' .. gate)) == 1 end
    return waits[gate]
  end

  -- Where a run waits: `p` and the gate if it is parked, `o` and the gate if it is out.
  local function noted_of(name)
    if any == nil then any = call('EXISTS', K'parked') == 1 end
    return any and call('HGET', K'parked', name) or nil
  end

  -- The run waits at no gate any more.
  function G.forget(name, lane, member)
    local noted = noted_of(name)
    if not noted then return end
    local gate = sub(noted, 2)
    call('HDEL', K'parked', name)
    if byte(noted) == 112 then call('ZREM', K(list_of(lane, gate)), member) else call('SREM', K(out_of(lane, gate)), name) end
    moved[gate] = true
  end

  -- Takes a slot of each gate, if all have room. Otherwise answers where the run has to wait: those that wait already come first.
  function G.enter(name, lane, member, of_run)
    local noted = noted_of(name)
    for _, gate in ipairs(of_run) do
      if used_of(gate[1]) + gate[2] > gate[3] or (not noted and is_waited_for(gate[1])) then return gate[1] end
    end
    if noted then G.forget(name, lane, member) end
    for _, gate in ipairs(of_run) do
      G.use(gate[1], gate[2])
      if is_waited_for(gate[1]) then moved[gate[1]] = true end
    end
  end

  function G.park(name, lane, member, time, gate)
    G.forget(name, lane, member)
    call('ZADD', K(list_of(lane, gate)), time, member)
    call('SADD', K('gl:' .. gate), lane)
    call('HSET', K'parked', name, 'p' .. gate)
    waits[gate], moved[gate], any = true, true, true
  end

  -- Whether the first that waits is to stay: there is no room for it, or others are out for that.
  local function stays(record, gate, out)
    for _, own in ipairs(record and is_gated(record) and G.of(record) or {}) do
      if own[1] == gate then
        local left = own[3] - used_of(gate)
        return own[2] > left or out >= math.min(left, MOST_OUT)
      end
    end
    return false
  end

  local function open_in(lane, gate)
    local list, out = list_of(lane, gate), call('SCARD', K(out_of(lane, gate)))
    while true do
      local first = call('ZRANGE', K(list), 0, 0, 'WITHSCORES')
      local member, time = first[1], first[2]
      if not member then
        call('SREM', K('gl:' .. gate), lane)
        waits[gate] = nil
        return
      end
      local name = sub(member, 5)
      local record = call('HGET', K'runs', name)
      if stays(record, gate, out) then return end
      call('ZREM', K(list), member)
      -- What is not noted as parked here stands elsewhere, or is destroyed.
      if record and call('HGET', K'parked', name) == 'p' .. gate then
        call('HSET', K'parked', name, 'o' .. gate)
        call('SADD', K(out_of(lane, gate)), name)
        out = out + 1
        local job = (byte(record, 11) or 0) % 2 == 1 and call('HGET', K'alone', name)
        if job then stand_in_list(lane, job, time, member) else call('ZADD', K('lane:' .. lane), time, member) end
        touched[lane], G.lanes[lane] = true, true
      end
    end
  end

  -- Lets out whoever has room by now, and writes what is used.
  function G.open()
    while next(moved) do
      local all = moved
      moved = {}
      for gate in pairs(all) do
        if is_waited_for(gate) then
          for _, lane in ipairs(call('SMEMBERS', K('gl:' .. gate))) do open_in(lane, gate) end
        end
      end
    end
    for gate in pairs(changed) do
      if used[gate] > 0 then call('HSET', K'gates', gate, text(used[gate])) else call('HDEL', K'gates', gate) end
    end
    changed = {}
  end

  -- This gate may have room.
  function G.look_at(gate) moved[gate] = true end

  gates_of_call = G
  return G
end

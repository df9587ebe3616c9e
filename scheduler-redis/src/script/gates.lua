-- Gates: how much of each limit is used, and which runs wait for it. What is here is defined when a script first needs it.
--
-- A run that finds a gate full leaves its lane and is parked at the gate: it stands in a list of that, one for each lane, and holds nothing.
-- When there is room, the first ones of each lane are let out: they stand in their lane again, before whatever became due later. Until such a
-- run is looked at it counts as out, so that no more are let out than there is room for; whatever else becomes of it, the next one is.

-- Byte by byte, which Lua's own comparison is not on a server with a locale.
local function is_less(a, b)
  for n = 1, math.min(#a, #b) do
    local of_a, of_b = string.byte(a, n), string.byte(b, n)
    if of_a ~= of_b then return of_a < of_b end
  end
  return #a < #b
end

local function is_before(a, b) return a[1] < b[1] or (a[1] == b[1] and is_less(a[2], b[2])) end

local gates_of_call

local function gates()
  if gates_of_call then return gates_of_call end
  local byte, sub = string.byte, string.sub
  -- The lanes in which somebody was let out.
  local G = { lanes = {} }
  local used, changed, waits, seen, moved, any = {}, {}, {}, {}, {}, nil
  -- What was used of a gate before the call, and gates that may be in use since, or are no longer.
  local before, relisted = {}, {}

  local function list_of(lane, gate) return 'g:' .. lane .. '\1' .. gate end
  local function out_of(lane, gate) return 'go:' .. lane .. '\1' .. gate end
  G.list_of, G.out_of = list_of, out_of

  -- The gate of a fair key in the queue of this lane. Nobody holds it; one run of each lane is out, by its turn.
  function G.turns_of(lane, key) return '\2' .. string.match(lane, '^[^%z]*') .. '\0' .. key end
  local function is_of_turns(gate) return byte(gate) == 2 end
  local function queue_of(gate) return string.match(gate, '^\2([^%z]*)') end

  local function relist(gate)
    if not is_of_turns(gate) then relisted[gate] = true end
  end

  -- Caps that somebody has set, and gates that nobody enters before these times; most often there are none.
  local caps, any_caps, shut, any_shut = {}, nil, {}, nil

  local function set_for(id)
    if any_caps == nil then any_caps = call('EXISTS', K'caps') == 1 end
    if not any_caps then return false end
    if caps[id] == nil then caps[id] = tonumber(string.match(call('HGET', K'caps', id) or '', '^%d+') or '') or false end
    return caps[id]
  end

  -- The gate with the cap that holds for it.
  local function capped(gate)
    local name = string.match(gate[1], '^[^%z]*')
    local cap = set_for(gate[1]) or (name ~= gate[1] and set_for(name))
    if cap then
      gate[3] = cap
      if gate[5] and gate[5] > 0 then gate[5] = math.max(1, math.min(gate[5], cap)) end
    end
    return gate
  end

  -- The gates of a run: name and key, weight, cap, of a rate its window and burst, and the letters of `run/gate.rs`. Also the end of the
  -- bytes that say so, which begin with the 13th. With a fair key, that stands among them.
  function G.of(record)
    local at, many, scale = 13, 0, 1
    repeat
      local digit = byte(record, at) or 0
      many, scale, at = many + digit % 128 * scale, scale * 128, at + 1
    until digit < 128
    local text = sub(record, at, at + many - 1)
    if seen[text] then return seen[text], at + many - 1 end
    local found, from = {}, 1
    local length_of_key, begin_of_key = string.match(text, '^f(%d+):()')
    if length_of_key then
      from = begin_of_key + tonumber(length_of_key)
      found.fair = sub(text, begin_of_key, from - 1)
    end
    while from <= #text do
      local weight, cap, letters, window, length, begin = string.match(text, '^(%d+) (%d+)(%a*) ([%d ]-)(%d+):()', from)
      if not weight then break end
      local burst
      window, burst = string.match(window, '(%d+) (%d+)')
      from = begin + tonumber(length)
      found[#found + 1] = capped({ sub(text, begin, from - 1), tonumber(weight), tonumber(cap), tonumber(window), tonumber(burst), letters })
    end
    seen[text] = found
    return found, at + many - 1
  end

  local checked = {}

  local function used_of(gate)
    if not used[gate] then used[gate] = tonumber(call('HGET', K'gates', gate) or '') or 0 end
    return used[gate]
  end

  local function is_waited_for(gate)
    if waits[gate] == nil then waits[gate] = call('EXISTS', K('gl:' .. gate)) == 1 end
    return waits[gate]
  end

  -- Whether there is nothing of this gate but how much of it is used: one question instead of many.
  local function is_quiet(gate, lane)
    if is_of_turns(gate) then return false end
    local keys = { K'shut', K'caps', K'parked', K('rt:' .. gate), K('gl:' .. gate) }
    local list, out = lane and list_of(lane, gate), lane and out_of(lane, gate)
    if lane then keys[6], keys[7] = K(list), K(out) end
    if call('EXISTS', unpack(keys)) > 0 then return false end
    if lane then is_fine[list], is_fine[out] = true, true end
    any, any_caps, any_shut, waits[gate] = any or false, any_caps or false, any_shut or false, waits[gate] or false
    return true
  end

  -- Fails before anything is written if a key of this gate is of the wrong kind.
  function G.check(gate, lane)
    local known = checked[gate] or {}
    if checked[gate] and (not lane or known[lane]) then return end
    checked[gate], known[lane or ''] = known, true
    check('gates', 'limits')
    local lanes = {}
    if not is_quiet(gate, lane) then
      check('shut', 'caps', 'rt:' .. gate, 'parked', 'gl:' .. gate)
      if is_of_turns(gate) then check('fv', 'ft:' .. gate, 'fd:' .. queue_of(gate)) end
      lanes = call('SMEMBERS', K('gl:' .. gate))
    end
    if not (lane or lanes[1]) then return end
    check('alarms', 'runs', 'alone', 'busy', 'lanes')
    lanes[#lanes + 1] = lane
    for _, known in ipairs(lanes) do check(list_of(known, gate), out_of(known, gate), 'lane:' .. known) end
  end

  -- Rates that were read, and of those that have changed when nothing is known of them any more.
  local rates, idle = {}, {}
  -- What time it is by the node that takes; by the server if none does.
  G.now = false

  local function now_of()
    G.now = G.now or math.floor(now_micros() / 1000)
    return G.now
  end

  local function shut_of(id)
    if any_shut == nil then any_shut = call('EXISTS', K'shut') == 1 end
    if any_shut and shut[id] == nil then shut[id] = tonumber(call('HGET', K'shut', id) or '') or 0 end
    return any_shut and shut[id] or 0
  end

  -- How much room there is for a gate of a run.
  local function room_of(gate)
    if shut_of(gate[1]) > now_of() then return 0 end
    if gate[4] then return math.min(gate[3], G.left_of(gate, now_of())) end
    return gate[3] - used_of(gate[1])
  end

  -- So much more is used, or less.
  function G.use(gate, many)
    before[gate] = before[gate] or used_of(gate)
    used[gate] = math.max(0, used_of(gate) + many)
    changed[gate] = true
    if many < 0 then moved[gate] = true end
  end

  -- Whether the run itself holds it, between its attempts, too.
  local function is_held(gate) return string.find(gate[6], 'H', 1, true) ~= nil end

  -- Takes a slot of each gate for all of these runs, if nobody waits and there is room for all. Says whether it has. Runs mostly have the
  -- same gates: so many have these.
  function G.enter_all(names, many_of)
    local needs = {}
    for of_run, many in pairs(many_of) do
      -- Whoever takes a turn brings up the next one.
      if of_run.fair then return false end
      for _, gate in ipairs(of_run) do
        local id = gate[1]
        if gate[4] or is_held(gate) or is_waited_for(id) then return false end
        needs[id] = (needs[id] or 0) + many * gate[2]
        if needs[id] > room_of(gate) then return false end
      end
    end
    if any == nil then any = call('EXISTS', K'parked') == 1 end
    -- Somebody who was let out may be among them.
    for _, noted in ipairs(any and call('HMGET', K'parked', unpack(names)) or {}) do
      if noted then return false end
    end
    for id, many in pairs(needs) do G.use(id, many) end
    return true
  end

  -- Who is to be parked, by list: lane, gate, what is added to the list, what is noted.
  local parking = {}
  -- Queues that may have no turns any more.
  local left = {}

  -- Lets out whoever has room by now, and writes what is used.
  function G.open()
    if next(parking) then G.flush_parking() end
    while next(moved) do
      local all = moved
      moved = {}
      for gate in pairs(all) do
        if is_waited_for(gate) then
          for _, lane in ipairs(call('SMEMBERS', K('gl:' .. gate))) do G.open_in(lane, gate) end
        end
      end
    end
    for queue in pairs(left) do
      if call('EXISTS', K('fd:' .. queue)) == 0 then call('HDEL', K'fv', queue) end
    end
    left = {}
    for gate in pairs(changed) do
      if used[gate] > 0 then call('HSET', K'gates', gate, text(used[gate])) else call('HDEL', K'gates', gate) end
      if (used[gate] > 0) ~= (before[gate] > 0) then relisted[gate] = true end
    end
    changed, before = {}, {}
    for gate in pairs(relisted) do
      local is_in_use = used_of(gate) > 0 or shut_of(gate) > 0 or set_for(gate) or is_waited_for(gate)
      if is_in_use then call('ZADD', K'limits', 0, gate) else call('ZREM', K'limits', gate) end
    end
    relisted = {}
    for gate, at in pairs(idle) do
      -- An idle rate has no record.
      call('SET', K('rt:' .. gate), G.rates.text(rates[gate]), 'PX', text(math.max(1, at - now_of()) + 1000))
    end
    idle = {}
  end

  -- This gate may have room.
  function G.look_at(gate) moved[gate] = true end

  -- What is needed only when somebody waits, or for rates and turns: most calls with gates have nothing of it.
  local function define()
    -- Of one lane no more are out at a time.
    local MOST_OUT = 100
    -- So many gates of a limit are looked at in one step after its cap has changed.
    local MOST_CHANGED = 20
    local function key_of(gate) return string.match(gate, '%z(.*)$') end

    -- As `check`, for the gate at which a run waits.
    function G.check_noted(name, lane)
      check('parked')
      local noted = call('HGET', K'parked', name)
      if noted then G.check(sub(noted, 2), lane) end
    end

    -- Rates. What follows is the same as in `run/rate.rs`, which tells more, and a test holds the two against each other.
    local EXACT, PARTS = 32, 20

    local function read_rate(words)
      local state = { seen = tonumber(string.match(words, '^-?%d+') or '') or 0, begun = {} }
      state.smooth = tonumber(string.match(words, ' ~(-?%d+)') or '')
      for time, many in string.gmatch(words, ' (-?%d+)x(%d+)') do
        state.begun[#state.begun + 1] = { tonumber(time), tonumber(many) }
      end
      return state
    end

    local function rate_text(state)
      local words = { text(state.seen) }
      if state.smooth then words[2] = '~' .. text(state.smooth) end
      for _, one in ipairs(state.begun) do words[#words + 1] = text(one[1]) .. 'x' .. text(one[2]) end
      return table.concat(words, ' ')
    end

    local function end_of_part(gate, time)
      local part = math.floor((gate[4] + PARTS - 1) / PARTS)
      return gate[3] <= EXACT and time or math.floor(time / part) * part + part
    end

    local function interval(gate)
      local spread = math.max(0, gate[3] - gate[5]) + 1
      return math.floor((gate[4] * 1000 + spread - 1) / spread)
    end

    local function rate_at(state, gate, now)
      local at = { seen = math.max(state.seen, now), begun = {} }
      if gate[5] > 0 then
        local all = state.begun[1] and (state.seen + gate[4]) * 1000
        at.smooth = math.max(state.smooth or all or 0, at.seen * 1000)
        return at
      end
      for _, one in ipairs(state.smooth and { { state.seen, gate[3] } } or state.begun) do
        if one[1] + gate[4] > at.seen then at.begun[#at.begun + 1] = { one[1], one[2] } end
      end
      return at
    end

    local function total_of(state)
      local total = 0
      for _, one in ipairs(state.begun) do total = total + one[2] end
      return total
    end

    local function left_of_rate(state, gate, now)
      local at = rate_at(state, gate, now)
      if not at.smooth then return math.max(0, gate[3] - total_of(at)) end
      local each = interval(gate)
      return math.max(0, math.floor((at.seen * 1000 + gate[5] * each - at.smooth) / each))
    end

    -- The state after an attempt of this gate has begun, or nothing and when it may begin.
    local function take_of_rate(state, gate, now)
      local at = rate_at(state, gate, now)
      if at.smooth then
        local after = at.smooth + gate[2] * interval(gate)
        local opens = after - gate[5] * interval(gate)
        if opens > at.seen * 1000 then return nil, math.floor((opens + 999) / 1000) end
        at.smooth = after
        return at
      end
      local too_many = total_of(at) + gate[2] - gate[3]
      if too_many > 0 then
        for _, one in ipairs(at.begun) do
          too_many = too_many - one[2]
          if too_many <= 0 then return nil, one[1] + gate[4] end
        end
        return nil, 2 ^ 52
      end
      local time, last = end_of_part(gate, at.seen), at.begun[#at.begun]
      if last and last[1] == time then last[2] = last[2] + gate[2] else at.begun[#at.begun + 1] = { time, gate[2] } end
      return at
    end

    local function give_back_to_rate(state, gate, since)
      if since + gate[4] <= state.seen then return state end
      if state.smooth then
        state.smooth = state.smooth - gate[2] * interval(gate)
        return state
      end
      local time, found, kept = end_of_part(gate, since), nil, {}
      for _, one in ipairs(state.begun) do
        if not found and one[1] >= time then found = one end
      end
      found = found or state.begun[#state.begun]
      if found then found[2] = math.max(0, found[2] - gate[2]) end
      for _, one in ipairs(state.begun) do
        if one[2] > 0 then kept[#kept + 1] = one end
      end
      state.begun = kept
      return state
    end

    G.rates = { read = read_rate, text = rate_text, take = take_of_rate, give_back = give_back_to_rate, left = left_of_rate }

    local function rate_of(id)
      if not rates[id] then rates[id] = read_rate(call('GET', K('rt:' .. id)) or '') end
      return rates[id]
    end

    -- How many attempts of a rate may begin by now.
    function G.left_of(gate, now) return left_of_rate(rate_of(gate[1]), gate, now) end

    local function keep_rate(gate, state)
      rates[gate[1]] = state
      local last = state.begun[#state.begun]
      idle[gate[1]] = state.smooth and math.ceil(state.smooth / 1000) or (last and last[1] or state.seen) + gate[4]
    end

    -- An attempt that was to begin at this time has not begun.
    function G.unbegin(gate, since)
      gate = capped(gate)
      keep_rate(gate, give_back_to_rate(rate_of(gate[1]), gate, since))
      moved[gate[1]] = true
    end

    -- Nobody enters this gate before that time.
    function G.shut(id, until_then)
      if shut_of(id) < until_then then
        any_shut, shut[id] = true, until_then
        call('HSET', K'shut', id, text(until_then))
        local known = tonumber(call('ZSCORE', K'alarms', '\255' .. id) or '')
        if not (known and known <= until_then) then call('ZADD', K'alarms', text(until_then), '\255' .. id) end
        relisted[id] = true
      end
      moved[id] = true
    end

    -- The time has come to look at this gate. It stays among the alarms as long as it is shut.
    local function ring_shut(id)
      local until_then = shut_of(id)
      if until_then > now_of() then
        call('ZADD', K'alarms', text(until_then), '\255' .. id)
      elseif until_then > 0 then
        shut[id], relisted[id] = 0, true
        call('HDEL', K'shut', id)
      end
    end

    -- When a gate opens for which somebody waits is among the alarms.
    local function note_opening(gate)
      local until_then, _, opens = shut_of(gate[1]), nil, nil
      local is_enough = gate[2] <= gate[3] and not ((gate[5] or 0) > 0 and gate[2] > gate[5])
      if gate[4] and is_enough then _, opens = take_of_rate(rate_of(gate[1]), gate, now_of()) end
      if until_then > now_of() then opens = math.max(opens or 0, until_then) end
      local member = '\255' .. gate[1]
      local known = opens and tonumber(call('ZSCORE', K'alarms', member) or '')
      if opens and not (known and known <= opens) then call('ZADD', K'alarms', text(opens), member) end
    end

    -- Where a run waits: `p` and the gate if it is parked, `o` and the gate if it is out.
    local function noted_of(name)
      if any == nil then any = call('EXISTS', K'parked') == 1 end
      return any and call('HGET', K'parked', name) or nil
    end

    -- By list, the first of those that wait there: time and member; false for nobody.
    local firsts = {}

    function G.flush_parking()
      for list, all in pairs(parking) do
        call('ZADD', K(list), unpack(all[3]))
        call('HSET', K'parked', unpack(all[4]))
        if call('SADD', K('gl:' .. all[2]), all[1]) == 1 then relist(all[2]) end
      end
      parking = {}
    end

    -- The run waits at no gate any more. Says whether it did.
    function G.forget(name, lane, member)
      local noted = noted_of(name)
      if not noted then return false end
      local gate = sub(noted, 2)
      call('HDEL', K'parked', name)
      if byte(noted) == 112 then
        G.flush_parking()
        call('ZREM', K(list_of(lane, gate)), member)
        firsts[list_of(lane, gate)] = nil
      else
        call('SREM', K(out_of(lane, gate)), name)
      end
      moved[gate] = true
      return true
    end

    local function first_in(list)
      if firsts[list] == nil then
        local first = call('ZRANGE', K(list), 0, 0, 'WITHSCORES')
        firsts[list] = first[1] and { tonumber(first[2]), first[1] } or false
      end
      return firsts[list]
    end

    -- As `forget`, if it waits at the gate of a limit.
    function G.forget_limit(name, lane, member)
      local noted = noted_of(name)
      if noted and not is_of_turns(sub(noted, 2)) then G.forget(name, lane, member) end
    end

    -- A turn is a time in milliseconds, and so much more for each round. The rest is as in `rows/turn.rs`, which tells more.
    local ROUND = 1 / 1024

    -- The first run of its lane and key gets a turn.
    local function give_turn(name, gate, due)
      local queue, key = queue_of(gate), key_of(gate)
      call('ZADD', K('fd:' .. queue), due, name .. key)
      local oldest = tonumber(call('ZRANGE', K('fd:' .. queue), 0, 0, 'WITHSCORES')[2])
      local present = call('HGET', K'fv', queue)
      if not present then call('HSET', K'fv', queue, '') end
      local last = tonumber(call('ZRANGE', K('ft:' .. gate), -1, -1, 'WITHSCORES')[2] or '')
      local behind = math.max(tonumber(present or '') or -math.huge, last or -math.huge) + ROUND
      local turn = string.format('%.17g', math.max(behind, oldest))
      call('ZADD', K('ft:' .. gate), turn, name)
      return turn
    end

    local function drop_turn(name, gate)
      local queue = queue_of(gate)
      call('ZREM', K('ft:' .. gate), name)
      call('ZREM', K('fd:' .. queue), name .. key_of(gate))
      left[queue], moved[gate] = true, true
    end

    -- A run with this fair key is claimed, or stands nowhere any more.
    function G.leave_turn(name, lane, key, is_claimed)
      local gate = G.turns_of(lane, key)
      local turn = is_claimed and call('ZSCORE', K('ft:' .. gate), name)
      local present = turn and tonumber(call('HGET', K'fv', queue_of(gate)) or '')
      if turn and not (present and present >= tonumber(turn)) then call('HSET', K'fv', queue_of(gate), turn) end
      call('SREM', K(out_of(lane, gate)), name)
      drop_turn(name, gate)
    end

    -- A run has a turn, and is not there.
    function G.lose_turn(name, queue, key)
      local gate = '\2' .. queue .. '\0' .. key
      for _, lane in ipairs(call('SMEMBERS', K('gl:' .. gate))) do call('SREM', K(out_of(lane, gate)), name) end
      drop_turn(name, gate)
    end

    -- Whether somebody waits at the gate who comes before this run of the same lane.
    local function is_behind(gate, lane, member)
      local first = is_waited_for(gate) and first_in(list_of(lane, gate))
      local time = first and tonumber(call('ZSCORE', K('lane:' .. lane), member) or '')
      return time and is_before(first, { time, member })
    end

    -- Takes a slot of each gate, if all have room. Otherwise answers the gate where the run has to wait: those that wait already come first.
    function G.enter(name, lane, member, of_run)
      local noted = noted_of(name)
      local is_out = noted and not is_of_turns(sub(noted, 2))
      for _, gate in ipairs(of_run) do
        if not is_held(gate) then
          if gate[2] > room_of(gate) then
            note_opening(gate)
            return gate
          end
          if not is_out and is_behind(gate[1], lane, member) then return gate end
        end
      end
      if noted then G.forget(name, lane, member) end
      if of_run.fair then G.leave_turn(name, lane, of_run.fair, true) end
      for _, gate in ipairs(of_run) do
        if is_held(gate) then
          -- The run itself holds it.
        elseif gate[4] then
          keep_rate(gate, take_of_rate(rate_of(gate[1]), gate, now_of()) or rate_of(gate[1]))
        else
          G.use(gate[1], gate[2])
        end
        if is_waited_for(gate[1]) then moved[gate[1]] = true end
      end
    end

    -- Says whether it has waited before.
    function G.park(name, lane, member, time, gate)
      local noted = noted_of(name)
      local has_waited = noted ~= nil and not is_of_turns(sub(noted, 2))
      G.forget(name, lane, member)
      local list = list_of(lane, gate)
      local all = parking[list] or { lane, gate, {}, {} }
      local n = #all[3]
      all[3][n + 1], all[3][n + 2], all[4][n + 1], all[4][n + 2] = time, member, name, 'p' .. gate
      parking[list] = all
      local first, own = is_waited_for(gate) and first_in(list), { tonumber(time), member }
      if not first or is_before(own, first) then firsts[list] = own end
      waits[gate], moved[gate], any = true, true, true
      return has_waited
    end

    -- The first of each lane that wait at this gate.
    function G.waiting_at(gate)
      local names = {}
      for _, lane in ipairs(call('SMEMBERS', K('gl:' .. gate))) do
        for _, member in ipairs(call('ZRANGE', K(list_of(lane, gate)), 0, 19)) do names[#names + 1] = sub(member, 5) end
      end
      return names
    end

    -- Whether the first that waits is to stay: there is no room for it, or others are out for that.
    local function stays(record, gate, out)
      if is_of_turns(gate) then return out > 0 end
      for _, own in ipairs(record and is_gated(record) and G.of(record) or {}) do
        if own[1] == gate then
          local left = room_of(own)
          if own[2] > left then note_opening(own) end
          return own[2] > left or out >= math.min(left, MOST_OUT)
        end
      end
      return false
    end

    function G.open_in(lane, gate)
      local list, out = list_of(lane, gate), call('SCARD', K(out_of(lane, gate)))
      while true do
        local first = call('ZRANGE', K(list), 0, 0, 'WITHSCORES')
        local member, time = first[1], first[2]
        if not member then
          call('SREM', K('gl:' .. gate), lane)
          waits[gate] = nil
          relist(gate)
          return
        end
        local name = sub(member, 5)
        local record = call('HGET', K'runs', name)
        if stays(record, gate, out) then return end
        call('ZREM', K(list), member)
        firsts[list] = nil
        -- What is not noted as parked here stands elsewhere, or is destroyed.
        if record and call('HGET', K'parked', name) == 'p' .. gate then
          call('HSET', K'parked', name, 'o' .. gate)
          call('SADD', K(out_of(lane, gate)), name)
          out = out + 1
          if is_of_turns(gate) then
            -- Whoever looks for work looks in this lane anyway, unless there is another first.
            time, entered[lane] = give_turn(name, gate, time), true
          else
            G.lanes[lane] = true
          end
          local job = (byte(record, 11) or 0) % 2 == 1 and call('HGET', K'alone', name)
          if job then stand_in_list(lane, job, time, member) else call('ZADD', K('lane:' .. lane), time, member) end
          touched[lane] = true
        end
      end
    end

    -- What somebody has set for a gate, or for each gate of a limit; nothing removes it.
    function G.cap(id, words)
      if words == '' then call('HDEL', K'caps', id) else call('HSET', K'caps', id, words) end
      caps, any_caps, seen, relisted[id] = {}, nil, {}, true
      if string.find(id, '%z') then
        moved[id] = true
      else
        -- There may be many of them: those who take look at some with each call.
        call('HDEL', K'caps', '\1' .. id)
        call('ZADD', K'alarms', 0, '\255\1' .. id)
      end
    end

    -- The cap of a limit has changed: some of its gates are looked at.
    local function ring_changed(member)
      local name = sub(member, 3)
      check('caps', 'limits', 'alarms')
      local after = call('HGET', K'caps', '\1' .. name)
      local part = call('ZRANGEBYLEX', K'limits', after and '(' .. after or '[' .. name, '(' .. name .. '\1', 'LIMIT', 0, MOST_CHANGED)
      for _, gate in ipairs(part) do
        G.check(gate)
        moved[gate] = true
      end
      if #part == MOST_CHANGED then
        call('HSET', K'caps', '\1' .. name, part[#part])
      else
        call('HDEL', K'caps', '\1' .. name)
        call('ZREM', K'alarms', member)
      end
    end

    -- Gates whose time has come are looked at. Says whether something else is to be looked at.
    function G.ring(names)
      local others = false
      for _, name in ipairs(names) do
        if byte(name) == 255 and byte(name, 2) == 1 then
          ring_changed(name)
        elseif byte(name) == 255 then
          G.check(sub(name, 2))
          call('ZREM', K'alarms', name)
          ring_shut(sub(name, 2))
          moved[sub(name, 2)] = true
        else
          others = true
        end
      end
      G.open()
      return others
    end
  end

  local is_defined = false
  setmetatable(G, {
    __index = function(_, name)
      if is_defined then return nil end
      is_defined = true
      define()
      return rawget(G, name)
    end,
  })

  gates_of_call = G
  return G
end

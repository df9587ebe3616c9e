-- What is known of limits. Changes nothing.
--
-- ARGV: name or nothing, after which gate or nothing, how many, and gates if only these are meant. Answers where the list goes on, or
-- nothing, and for each gate: itself, what is used, how many wait, one of those, when it opens, until when it is shut, what is known of its rate, and the caps that
-- were set for it and for all keys.
local name, after, most = ARGV[2], ARGV[3], tonumber(ARGV[4])

local function name_of(gate) return string.match(gate, '^[^%z]*') end

-- How many wait at a gate, and one of them.
local function waiting_at(gate)
  local waiting, first = 0, ''
  for _, lane in ipairs(call('SMEMBERS', K('gl:' .. gate))) do
    local list = 'g:' .. lane .. '\1' .. gate
    waiting = waiting + call('ZCARD', K(list)) + call('SCARD', K('go:' .. lane .. '\1' .. gate))
    local member = call('ZRANGE', K(list), 0, 0)[1]
    if first == '' and member then first = string.sub(member, 5) end
  end
  return waiting, first
end

-- The gates that are meant, and where the list goes on.
local function meant()
  local gates = {}
  for n = 5, #ARGV do gates[#gates + 1] = ARGV[n] end
  if gates[1] then return gates, '' end
  local from = after ~= '' and '(' .. after or name ~= '' and '[' .. name or '-'
  gates = call('ZRANGEBYLEX', K'limits', from, name ~= '' and '(' .. name .. '\1' or '+', 'LIMIT', 0, most)
  return gates, #gates == most and gates[most] or ''
end

return guarded(function()
  local gates, onward = meant()
  local answer = { onward }
  for _, gate in ipairs(gates) do
    local waiting, first = waiting_at(gate)
    local shut = tonumber(call('HGET', K'shut', gate) or '') or 0
    local alarm = tonumber(call('ZSCORE', K'alarms', '\255' .. gate) or '') or 0
    for _, word in ipairs({
      gate, call('HGET', K'gates', gate) or '0', text(waiting), first, text(alarm), text(shut), call('GET', K('rt:' .. gate)) or '',
      call('HGET', K'caps', gate) or '', name_of(gate) ~= gate and call('HGET', K'caps', name_of(gate)) or '',
    }) do answer[#answer + 1] = word end
  end
  return answer
end)

-- The next firing records, the latest first. Changes nothing.
--
-- ARGV: the number before which they are, or nothing; how many; then groups of lists: how many lists, their names. All that is wanted is in the
-- lists of each group, so those of the shortest group are read; without a group, all records. Answers: the number where to go on, or
-- nothing at the end; then number and record, one after the other.
local most = tonumber(ARGV[3])

-- How many of a list are before this number.
local function place(list, before)
  local low, high = 0, call('LLEN', K(list))
  while low < high do
    local middle = math.floor((low + high) / 2)
    if (tonumber(call('LINDEX', K(list), middle) or '') or 0) < before then low = middle + 1 else high = middle end
  end
  return low
end

local function shortest_group()
  local group, fewest
  local at = 4
  while at <= #ARGV do
    local lists, many = {}, 0
    for n = 1, tonumber(ARGV[at]) do
      lists[n] = 'fi:' .. ARGV[at + n]
      many = many + call('LLEN', K(lists[n]))
    end
    if not fewest or many < fewest then group, fewest = lists, many end
    at = at + #lists + 1
  end
  return group
end

return guarded(function()
  local last, first = firings_kept()
  local before, numbers = math.min(tonumber(ARGV[2]) or last + 1, last + 1), {}
  local group = shortest_group()
  for _, list in ipairs(group or {}) do
    local behind = place(list, before)
    local found = behind > 0 and call('LRANGE', K(list), math.max(behind - most, 0), behind - 1) or {}
    for _, number in ipairs(found) do
      number = tonumber(number) or 0
      if number >= first and number < before then numbers[#numbers + 1] = number end
    end
  end
  if group then
    table.sort(numbers, function(a, b) return a > b end)
  else
    for number = before - 1, math.max(first, before - most), -1 do numbers[#numbers + 1] = number end
  end
  local answer = { 'ok', numbers[most] and text(numbers[most]) or '' }
  if not numbers[1] then return answer end
  for n, record in ipairs(call('HMGET', K'firings', unpack(numbers, 1, math.min(#numbers, most)))) do
    if record then
      answer[#answer + 1] = text(numbers[n])
      answer[#answer + 1] = record
    end
  end
  return answer
end)

-- The next firing records, the latest first. Changes nothing.
--
-- ARGV: the number before which they are, or nothing; how many; then, as an entry has it, what they are to have, or nothing: their
-- job, their trigger, their run; the outcomes of which they are to have one, or nothing. Answers: the number where to go on, or
-- nothing at the end; then number, entry and record, one after the other.
local most, outcomes = tonumber(ARGV[3]), ARGV[7]
local find, sub = string.find, string.sub

-- The most entries that one call compares, and how many of them a chunk counts as, whatever it holds.
local EFFORT, OF_CHUNK = 4000, 20

-- The marks that an entry must have: place in the entry, bytes.
local wanted = {}
for n = 3, 1, -1 do
  if ARGV[3 + n] ~= '' then wanted[#wanted + 1] = { 4 * n - 3, ARGV[3 + n] } end
end

-- The rarest marks are searched, and the others compared. Rare are runs, then triggers, then outcomes other than success, then jobs.
local needles = {}
if wanted[1] and (outcomes == '' or find(outcomes, '0', 1, true) or wanted[1][1] > 1) then
  needles = { wanted[1] }
else
  for outcome in string.gmatch(outcomes, '.') do needles[#needles + 1] = { 0, outcome } end
end

local answer, effort = { 'ok', '' }, 0
local function read_so_far() return (#answer - 2) / 3 end

-- The entries that have one of the rarest marks.
local function candidates(entries)
  local found = {}
  for _, needle in ipairs(needles) do
    local at = find(entries, needle[2], 1, true)
    while at do
      effort = effort + 1
      if (at - 1) % ENTRY == needle[1] then found[math.floor((at - 1) / ENTRY)] = true end
      at = find(entries, needle[2], at + 1, true)
    end
  end
  return found
end

local function is_wanted(entries, index)
  local entry = index * ENTRY + 1
  for n = 1, #wanted do
    local place, bytes = entry + wanted[n][1], wanted[n][2]
    if sub(entries, place, place + #bytes - 1) ~= bytes then return false end
  end
  return outcomes == '' or find(outcomes, sub(entries, entry, entry), 1, true) ~= nil
end

-- Adds the records of these entries, given in descending order.
local function read(chunk, entries, chosen)
  local places, at = {}, HEAD
  for index = 0, chosen[1] or -1 do
    local length = length_of(entries, index)
    places[index], at = { at, length }, at + length
  end
  for _, index in ipairs(chosen) do
    local place, length = unpack(places[index])
    if length > 0 then
      answer[#answer + 1] = text(chunk * CHUNK + index + 1)
      answer[#answer + 1] = sub(entries, index * ENTRY + 1, (index + 1) * ENTRY)
      answer[#answer + 1] = call('GETRANGE', K('fr:' .. text(chunk)), place, place + length - 1)
    end
  end
end

-- Looks at one chunk, from the last of so many entries down to this one. Returns the number of the last record at which it looked.
local function look(chunk, many, lowest)
  local entries = many > 0 and call('GETRANGE', K('fr:' .. text(chunk)), 0, many * ENTRY - 1) or ''
  local found, chosen = needles[1] and candidates(entries), {}
  effort = effort + OF_CHUNK
  local last, before = lowest, read_so_far()
  for index = math.floor(#entries / ENTRY) - 1, lowest, -1 do
    if not found or found[index] then
      if not found then effort = effort + 1 end
      if is_wanted(entries, index) then chosen[#chosen + 1] = index end
      if before + #chosen == most then
        last = index
        break
      end
    end
  end
  read(chunk, entries, chosen)
  return chunk * CHUNK + last + 1
end

return guarded(function()
  local last, first = firings_kept()
  local before = math.min(tonumber(ARGV[2]) or last + 1, last + 1)
  while before > first and effort < EFFORT and read_so_far() < most do
    local chunk = math.floor((before - 2) / CHUNK)
    before = look(chunk, before - 1 - chunk * CHUNK, math.max(first - 1 - chunk * CHUNK, 0))
  end
  if before > first then answer[2] = text(before) end
  return answer
end)

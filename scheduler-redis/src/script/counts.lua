-- Adds to counters. A value that is no number is overwritten.
--
-- ARGV: for each bucket its name, for how many more seconds it is kept, and how many fields follow; then fields and numbers. A field that
-- begins with `l` has the largest number, all others have the sum.
return guarded(function()
  local at = 2
  while ARGV[at] do
    local key, many = 'cnt:' .. ARGV[at], tonumber(ARGV[at + 2])
    check(key)
    for n = at + 3, at + 2 + 2 * many, 2 do
      local known, more = tonumber(call('HGET', K(key), ARGV[n]) or '') or 0, tonumber(ARGV[n + 1])
      local sum = string.byte(ARGV[n]) == 108 and math.max(known, more) or known + more
      call('HSET', K(key), ARGV[n], string.format('%.0f', sum))
    end
    call('EXPIRE', K(key), ARGV[at + 1])
    at = at + 3 + 2 * many
  end
  return { 'ok', '' }
end)

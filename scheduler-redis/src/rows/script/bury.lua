-- Ends a session whose lease is over, or the one that is named, and names one whose claims are those of nobody.
--
-- ARGV: the session that ends, or nothing. Answers: whether a session has ended; the name of a grave, or nothing; its node.
local session = ARGV[1]
if session == '' then
  local lc = call('HGET', P .. 'meta', 'lc') or '0'
  session = call('ZRANGEBYSCORE', P .. 'sl', '-inf', lc, 'LIMIT', 0, 1)[1]
end
if session then
  local node = call('HGET', P .. 'ss', session)
  call('ZREM', P .. 'sl', session)
  for _, name in ipairs({ 'ss', 'sn', 'sc', 'tn' }) do call('HDEL', P .. name, session) end
  call('DEL', P .. 'stop:' .. session)
  call('SREM', P .. 'untold', session)
  call('SREM', P .. 'homes', session)
  local claims = P .. 'cl:' .. session
  if call('EXISTS', claims) == 1 then
    local base = math.max(tonumber(call('HGET', P .. 'meta', 'count') or '') or 0, server_micros()) + 1
    call('HSET', P .. 'meta', 'count', text(base))
    local name = session .. '@' .. text(base)
    call('RENAME', claims, P .. 'grave:' .. name)
    call('SADD', P .. 'graves', name)
    if node then call('HSET', P .. 'gn', name, node) end
  end
end
local name
repeat
  name = call('SRANDMEMBER', P .. 'graves')
  local is_empty = name and call('EXISTS', P .. 'grave:' .. name) == 0
  if is_empty then
    call('SREM', P .. 'graves', name)
    call('HDEL', P .. 'gn', name)
  end
until not is_empty
return { session and '1' or '', name or '', name and call('HGET', P .. 'gn', name) or '' }


-- What a session has said of its node when it registered: nothing if any part of its registration is lost. Then it registers anew.
local function node_of(session)
  local node = redis.call('HGET', K'ss', session)
  local is_there = node and redis.call('ZSCORE', K'sl', session) and tonumber(get('sc', session) or '')
  return is_there and decoded(node) or nil
end
local function is_registered(session) return node_of(session) ~= nil end

-- Which life of which server this is: in another one it may know less than was acknowledged. Nothing is handed out then until
-- all nodes have said what they know, or have had the time for it. Also says whether that lasts.
local function epoch()
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'unknown'
  local before = redis.call('HMGET', K'meta', 'run', 'hold', 'lease')
  local hold = tonumber(before[2] or '0') or 0
  if run ~= before[1] then
    hold = before[1] and server_millis() + math.max(HOLD, (tonumber(before[3]) or 0) / 2) or 0
    redis.call('HSET', K'meta', 'run', run, 'hold', text(hold))
    redis.call('DEL', K'untold')
    for _, session in ipairs(redis.call('ZRANGE', K'sl', 0, -1)) do redis.call('SADD', K'untold', session) end
  end
  return run, server_millis() < hold and redis.call('SCARD', K'untold') > 0
end

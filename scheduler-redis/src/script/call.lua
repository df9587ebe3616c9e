
-- A call that its caller has given up must not take effect after a later one: each says which ones are still waited for.
local function is_late()
  if not given(request.seq) then return false end
  local key = K('ad:' .. from)
  local floor = tonumber(redis.call('GET', key) or '0') or 0
  if tonumber(request.seq) < floor then return true end
  if tonumber(request.floor) > floor then redis.call('SET', key, request.floor, 'EX', 3600) end
  return false
end

local function carry_out()
  local answer = is_late() and refuse('late', {}) or V[verb]()
  if counter then put('meta', 'count', text(counter)) end
  write_states()
  note_lanes()
  write()
  if wake or others then
    increase('meta', 'ver', 1)
    if not request.quiet or loud then redis.call('PUBLISH', K'wake', from) end
  end
  if answer[1] == nil and next(answer) == nil then answer = NONE end
  return { cjson.encode(answer), wake and 1 or 0, others and 1 or 0, rows, #damage > 0 and cjson.encode(damage) or '' }
end

-- A key of the wrong kind is an answer: the node moves it out of the way. Everything else that fails names the key at least.
local is_done, result = pcall(carry_out)
if is_done then return result end
local problem = type(result) == 'table' and result.err or tostring(result)
if string.find(problem, 'WRONGTYPE', 1, true) then
  return { cjson.encode(refuse('kind', { { asked } })), 0, 0, {}, '' }
end
return redis.error_reply(problem .. ' (at the key `' .. P .. tostring(asked) .. '`)')
end)()

-- register_tools: no job. Stores the definitions of tools that are new or differ from what is stored.
-- KEYS  tools
-- ARGV  the channel on which front ends hear of tools · then name, definition …
-- Replies
--   OK, changed   how many were stored
-- Effects  rings the front ends if there were any
local tools = KEYS[1]

local changed = 0
for i = 2, #ARGV, 2 do
  local name, definition = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', tools, name) ~= definition then
    redis.call('HSET', tools, name, definition)
    changed = changed + 1
  end
end
if changed > 0 then
  redis.call('PUBLISH', ARGV[1], 'register')
end
return { 'OK', int(changed) }

-- register_tools: no job. Stores the definitions of a queue's tools that are new or differ from what is stored.
-- KEYS  tools (of the queue), queues [, homes]: without homes, names that are another queue's stay that
-- ARGV  the channel on which front ends hear of tools · queue name · then name, definition …
-- Replies
--   OK, changed   how many were stored, or came to this queue from another
-- Effects  notes that the queue has tools; with homes, that it is the home of these; rings the front ends if anything changed
local tools, queues, homes = KEYS[1], KEYS[2], KEYS[3]
local channel, queue = ARGV[1], ARGV[2]
local FIRST_TOOL = 3

need('hash', tools, homes)
need('zset', queues)
local changed = 0
for i = FIRST_TOOL, #ARGV, 2 do
  local name, definition = ARGV[i], ARGV[i + 1]
  local moves = homes and redis.call('HGET', homes, name) ~= queue
  if moves then
    redis.call('HSET', homes, name, queue)
  end
  if redis.call('HGET', tools, name) ~= definition then
    redis.call('HSET', tools, name, definition)
    changed = changed + 1
  elseif moves then
    changed = changed + 1
  end
end
redis.call('ZADD', queues, 0, queue)
if changed > 0 then
  redis.call('PUBLISH', channel, 'register')
end
return { 'OK', int(changed) }

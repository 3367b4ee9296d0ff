-- pause: no job. Jobs of a tool, or of all tools of a queue, begin no attempt until they are resumed. What runs goes on.
-- KEYS  paused
-- ARGV  what ('queue:<name>' or 'tool:<name>') · by (who, without spaces) · reason ('' for none)
-- Replies
--   OK, text        paused from now on; text is what is stored: since_ms, by and reason, with spaces between
--   ALREADY, text   it was paused, which says text. With a reason, by and reason are replaced; since_ms stays
local paused = KEYS[1]
local what, by, reason = ARGV[1], ARGV[2], ARGV[3]

need('hash', paused)
local before = redis.call('HGET', paused, what)
if before and reason == '' then
  return { 'ALREADY', before }
end
local since = before and string.match(before, '^%d+') or int(now_ms())
local text = since .. ' ' .. by .. ' ' .. reason
redis.call('HSET', paused, what, text)
return { before and 'ALREADY' or 'OK', before or text }

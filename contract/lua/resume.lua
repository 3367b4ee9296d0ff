-- resume: no job that runs. What a pause held up is brought to its stream in the order in which it was first queued: the first of
-- each tool at once, the others as those are claimed or end.
-- KEYS  paused
-- ARGV  base · what ('queue:<name>' or 'tool:<name>') · then the names of the queues in which jobs of it may wait
-- Replies
--   OK, text    paused no more; text is what was stored: since_ms, by and reason, with spaces between
--   NOT_PAUSED  it was not paused; nothing changes
-- Effects  expired, for jobs that are found to have expired while they waited
local paused = KEYS[1]
local base, what = ARGV[1], ARGV[2]
local FIRST_QUEUE = 3

need('hash', paused)
local before = redis.call('HGET', paused, what)
if not before then
  return { 'NOT_PAUSED' }
end
redis.call('HDEL', paused, what)
for i = FIRST_QUEUE, #ARGV do
  local queue = ARGV[i]
  local waiting = base .. 'waiting:' .. queue
  for _, tool in ipairs(is_a(waiting, 'zset') and redis.call('ZRANGE', waiting, 0, -1) or {}) do
    if what == 'queue:' .. queue or what == 'tool:' .. tool then
      admit(base, queue, tool)
    end
  end
end
return { 'OK', before }

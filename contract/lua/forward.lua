-- forward: queued and due -> queued on its stream. Moves a bounded batch.
-- KEYS  due
-- ARGV  base · limit (integer > 0)
-- Replies
--   OK, moved, next_due_ms   so many jobs were moved; when the next one is due, -1 if none waits
-- Effects  ids whose record expired or is none, or that are on a stream already, are dropped from due
local due = KEYS[1]
local base, limit = ARGV[1], tonumber(ARGV[2])

local now = now_ms()
local moved = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', 0, limit)) do
  local record = base .. 'task:' .. id
  local is_record = redis.call('TYPE', record).ok == 'hash'
  local job = is_record and read(record, { 'status', 'queue', 'tool', 'entry' }) or {}
  if job.status == 'queued' and job.entry == '' then
    local entry = redis.call('XADD', base .. 'queue:' .. job.queue, '*', 'id', id, 'tool', job.tool)
    redis.call('HSET', record, 'entry', entry)
    moved = moved + 1
  end
  redis.call('ZREM', due, id)
end
local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
return { 'OK', moved, next[2] and int(tonumber(next[2])) or -1 }

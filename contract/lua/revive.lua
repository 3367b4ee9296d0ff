-- revive: nothing -> queued. A dead letter becomes a new job with all its attempts before it. The record of the old one
-- stays as it ended. The letter goes when the job comes, so that no letter becomes two jobs.
-- KEYS  record (of the new job), queue, dead
-- ARGV  base · id (of the new job) · tool · queue name · owner ('' when callers cannot be told apart) · letter (its id on
--       the stream) · ttl_ms (integer > 0) · then field, value … of the record, as submit, and origin, the first task's id
-- Replies
--   OK, created_ms   queued; also for a repeated revive to the same id, which changes nothing
--   GONE             there is no such letter: it was revived or purged; nothing stored
-- Effects  active and owned get the id (owners only). The caps of queue and owner do not hold: a person decided. A job beyond the
--          owner's share (`share` among the fields) waits in its line.
local record, queue, dead = KEYS[1], KEYS[2], KEYS[3]
local base, id, tool, queue_name, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local letter, ttl = ARGV[6], tonumber(ARGV[7])
local FIRST_FIELD = 8

local known = redis.call('HGET', record, 'created_ms')
if known then
  return { 'OK', known }
end
local indexes = owner == '' and {} or { base .. 'active:' .. owner, base .. 'owned:' .. owner }
need('zset', unpack(indexes))
need('stream', queue, dead)
-- Raises an error before anything is written if there are more fields than one command takes.
local fields = { unpack(ARGV, FIRST_FIELD) }
if redis.call('XDEL', dead, letter) == 0 then
  return { 'GONE' }
end

local now = now_ms()
local expires = now + ttl
local entry, share = '', nil
for i = FIRST_FIELD, #ARGV - 1, 2 do
  if ARGV[i] == 'share' then
    share = share_of({ owner = owner, share = ARGV[i + 1] })
  end
end
if share and has_lines(base, queue_name, tool, owner) and not has_room(base, queue_name, tool, owner, share) then
  wait_in_line(base, queue_name, tool, owner, id)
  fields[#fields + 1] = 'waits'
  fields[#fields + 1] = waits('turn', now, '-')
else
  entry = redis.call('XADD', queue, '*', 'id', id, 'tool', tool)
  if share then
    note_ready(base, queue_name, tool, owner, id, { created_ms = now, ttl_ms = ttl })
  end
end
redis.call('HSET', record, 'status', 'queued', 'tool', tool, 'queue', queue_name, 'owner', owner, 'created_ms', int(now),
  'updated_ms', int(now), 'ttl_ms', int(ttl), 'plain', '0', 'attempt', '0', 'retries', '0', 'crashes', '0',
  'entry', entry, unpack(fields))
redis.call('PEXPIREAT', record, int(expires))
for _, index in ipairs(indexes) do
  redis.call('ZADD', index, int(expires), id)
  outlive(index, expires)
end
return { 'OK', int(now) }

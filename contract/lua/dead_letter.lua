-- dead_letter: an entry that cannot be read as a job -> dead letter. It alone; the batch goes on.
-- KEYS  queue
-- ARGV  base · entry · id ('' if it has none) · tool ('' if it has none) · reason
-- Replies  OK (also when the entry is gone already; nothing is written then)
local queue = KEYS[1]
local base, entry, id, tool, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if redis.call('XDEL', queue, entry) == 1 then
  local name = string.match(queue, ':queue:(.*)$') or ''
  bury(base, { 'id', id, 'tool', tool, 'reason', reason, 'attempts', '0', 'queue', name })
end
redis.call('XACK', queue, GROUP, entry)
return { 'OK' }

-- forget_worker: changes no record. Takes a worker that left off the consumers of a queue, unless entries are pending for
-- it: those are reclaimed by name.
-- KEYS  queue
-- ARGV  worker
-- Replies
--   OK        forgotten, or never known
--   PENDING   it has entries; nothing changes
-- Raises NOGROUP when the group is lost.
local queue = KEYS[1]
local worker = ARGV[1]

if #redis.call('XPENDING', queue, GROUP, '-', '+', 1, worker) > 0 then
  return { 'PENDING' }
end
redis.call('XGROUP', 'DELCONSUMER', queue, GROUP, worker)
return { 'OK' }

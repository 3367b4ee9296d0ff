-- ensure_group: no job. Makes the group of a queue if it is missing. It starts at the first entry, so that jobs queued
-- before it was made, or after Redis lost it, are read.
-- KEYS  queue
-- Replies
--   OK   the group is there
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], GROUP, '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
  return made
end
return { 'OK' }

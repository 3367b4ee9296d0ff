-- reclaim: changes no record. Takes over entries that have been idle for a lease; the caller then claims each.
-- KEYS  queue
-- ARGV  worker · idle_ms (the lease, integer > 0) · count (integer > 0)
-- Replies
--   OK, entry, id, tool …   now pending for the caller; id and tool are '' for an entry without these fields
-- Effects  entries that were deleted while pending leave the pending list (XCLAIM does that)
-- Raises NOGROUP when the group is lost.
local queue = KEYS[1]
local worker, idle, count = ARGV[1], ARGV[2], ARGV[3]

local reply = { 'OK' }
for _, pending in ipairs(redis.call('XPENDING', queue, GROUP, 'IDLE', idle, '-', '+', count)) do
  for _, taken in ipairs(redis.call('XCLAIM', queue, GROUP, worker, idle, pending[1])) do
    local fields = {}
    for i = 1, #taken[2], 2 do
      fields[taken[2][i]] = taken[2][i + 1]
    end
    reply[#reply + 1] = taken[1]
    reply[#reply + 1] = fields.id or ''
    reply[#reply + 1] = fields.tool or ''
  end
end
return reply

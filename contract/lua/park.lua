-- park: input_required -> input_required, held by nobody. Gives the entry, the slot and the lease back while questions
-- are open; the last answer queues the job again.
-- KEYS  record, queue
-- ARGV  base · id · attempt
-- Replies
--   OK                                parked
--   ANSWERED                          no question is open any more; go on
--   CANCELLED · DONE · GONE · STALE   as renew_lease
local record, queue = KEYS[1], KEYS[2]
local base, id, attempt = ARGV[1], ARGV[2], ARGV[3]

local job = read(record, { 'status', 'attempt', 'worker', 'entry', 'open', 'place', 'tool', 'queue' })
local refused = refusal(job, attempt)
if refused then
  return { refused }
end
if (tonumber(job.open) or 0) == 0 then
  return { 'ANSWERED' }
end
drop_entry(queue, job.entry)
redis.call('HSET', record, 'status', 'input_required', 'entry', '', 'worker', '', 'updated_ms', int(now_ms()))
if job.place then
  leave_slot(base, job.queue, job.tool, id)
end
return { 'OK' }

-- leave_call: queued, working or input_required -> cancelled, if the caller who leaves a plain call is the last who holds it,
-- or cancels what an idempotency key says is one call.
-- KEYS  record
-- ARGV  base · id · owner · holder (the id that the caller's submit named) · on purpose ('1': it said so; '0': its
--       connection closed) · message
-- Replies
--   OK      nobody holds it any more: cancelled
--   HELD    others hold it; the caller does no longer
--   TASK    it is a task, which tasks/cancel alone ends; unchanged
--   DONE    terminal before; unchanged
--   GONE    no such record for this owner
-- Effects  when it is cancelled, rings the worker that holds the job and the replicas that wait
local record = KEYS[1]
local base, id, owner, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local on_purpose, message = ARGV[5] == '1', ARGV[6]

local job = read(record, CLOSING)
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if TERMINAL[job.status] then
  return { 'DONE' }
end
if job.plain ~= '1' then
  return { 'TASK' }
end
-- Nobody else ever joined a record without the list.
local left = {}
for other in string.gmatch(redis.call('HGET', record, 'holders') or '', '[^,]+') do
  if other ~= holder then
    left[#left + 1] = other
  end
end
local is_one_call = job.alias and string.sub(job.alias, 1, 5) == 'idem:'
if #left > 0 and not (on_purpose and is_one_call) then
  redis.call('HSET', record, 'holders', table.concat(left, ','))
  return { 'HELD' }
end
close(base, record, id, job, 'cancelled', { 'message', message })
if job.worker and job.worker ~= '' then
  redis.call('PUBLISH', base .. 'inbox:' .. job.worker, id)
end
return { 'OK' }

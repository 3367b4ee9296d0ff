-- leave_call: queued, working or input_required -> cancelled, if the caller who leaves a plain call is the last of those who
-- share it, or cancels what an idempotency key says is one call.
-- KEYS  record
-- ARGV  base · id · owner · sharer (the id that the caller's submit named) · on purpose ('1': it cancelled; '0':
--       its connection closed) · message
-- Replies
--   OK      no other caller waits for it: cancelled
--   HELD    other callers still wait for it; this one is taken off its holders
--   TASK    it is a task, which tasks/cancel alone ends; unchanged
--   DONE    terminal before; unchanged
--   GONE    no such record for this owner
-- Effects  when it is cancelled, rings the worker that holds the job and the front ends that watch it
local record = KEYS[1]
local base, id, owner, sharer = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
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
  if other ~= sharer then
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

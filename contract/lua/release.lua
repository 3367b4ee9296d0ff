-- release: working or input_required -> queued, without using up an attempt. For a worker that drains, or that does not
-- know the tool.
-- KEYS  record, queue
-- ARGV  base · id · attempt · entry · delay_ms (0: back on the stream at once; else due then) · message ('' to leave)
-- Replies  OK · CANCELLED · DONE · GONE · STALE (as renew_lease; GONE drops the entry)
local record, queue = KEYS[1], KEYS[2]
local base, id, attempt, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay, message = tonumber(ARGV[5]), ARGV[6]

local job = read(record, { 'status', 'attempt', 'worker', 'entry', 'tool', 'limit', 'waiters' })
local refused = refusal(job, attempt)
if refused then
  if refused == 'GONE' then
    drop_entry(queue, entry)
  end
  return { refused }
end

local now = now_ms()
drop_entry(queue, job.entry)
local back = enqueue(base, queue, id, job.tool, delay > 0 and now + delay or nil)
redis.call('HSET', record, 'status', 'queued', 'entry', back, 'worker', '', 'updated_ms', int(now))
if message ~= '' then
  redis.call('HSET', record, 'message', message)
  ring_waiters(base, id, job.waiters)
end
if job.limit then
  leave_slot(base, job.tool, id)
end
return { 'OK' }

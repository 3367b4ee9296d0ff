-- release: working or input_required -> queued, without using up an attempt. For a worker that drains, or that cannot run
-- the job. A job that has a place, as those of a tool with a limit or a rate have, waits for its turn there, before those that were
-- queued after it. An attempt whose handler never began does not count in the rate of its tool.
-- KEYS  record, queue
-- ARGV  base · id · attempt · entry · delay_ms (0: back on the stream at once; else due then) · message ('' to leave)
--       · ran ('1': the attempt was stopped; '0': its handler never began, and the job's waiting time goes on)
-- Replies  OK · CANCELLED · DONE · GONE · STALE (as renew_lease; GONE drops the entry)
local record, queue = KEYS[1], KEYS[2]
local base, id, attempt, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay, message, ran = tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'

local job = read(record, {
  'status', 'attempt', 'worker', 'entry', 'tool', 'queue', 'place', 'waiters', 'waits', 'created_ms',
  'ttl_ms', 'owner', 'share', 'rate',
})
local refused = refusal(job, attempt)
if refused then
  if refused == 'GONE' then
    drop_entry(queue, entry)
  end
  return { refused }
end

local now = now_ms()
local due = delay > 0 and now + delay or nil
drop_entry(queue, job.entry)
if not ran then
  forget_begun(base, id, job, attempt)
end
local back, what = enqueue(base, job.queue, id, job.tool, job.place, due, job)
local since = ran and now or tonumber(string.match(job.waits or '', '^%S+ (%d+)') or job.created_ms)
local waiting
if ran then
  waiting = waits(what, since, 'released', due)
elseif due or message ~= '' then
  waiting = waits(what, since, 'returned', due)
else
  waiting = still_waits(what, job.waits, job.created_ms)
end
redis.call('HSET', record, 'status', 'queued', 'entry', back, 'worker', '', 'updated_ms', int(since), 'waits', waiting)
if message ~= '' then
  redis.call('HSET', record, 'message', message)
end
if ran or message ~= '' then
  ring_waiters(base, id, job.waiters)
end
if job.place then
  leave_slot(base, job.queue, job.tool, id)
end
return { 'OK' }

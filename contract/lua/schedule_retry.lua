-- schedule_retry: working or input_required -> queued, due later (then, if it has a place, it waits for its turn at that
-- place); or -> its last outcome and a dead letter when the
-- attempts are used up.
-- KEYS  record, queue
-- ARGV  base · id · attempt · entry · delay_ms (integer >= 0) · message (why this attempt failed)
--       · then the outcome to store if there is no attempt left: status · field · payload · is_error (as finish)
-- Replies
--   RETRY, due_ms      another attempt starts then
--   DEAD, retries      no attempt left: the outcome is stored, the job is a dead letter
--   CANCELLED · DONE · GONE · STALE   as renew_lease (GONE drops the entry)
local record, queue = KEYS[1], KEYS[2]
local base, id, attempt, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay, message = tonumber(ARGV[5]), ARGV[6]
local status, field, payload, is_error = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local job = read(record, CLOSING)
local refused = refusal(job, attempt)
if refused then
  if refused == 'GONE' then
    drop_entry(queue, entry)
  end
  return { refused }
end

local retries = tonumber(job.retries)
if retries + 1 >= tonumber(job.max_attempts) then
  bury_job(base, record, id, job, message, attempt)
  close(base, record, id, job, status, outcome_fields(field, payload, is_error, message))
  return { 'DEAD', int(retries) }
end

local now = now_ms()
local due = int(now + delay)
drop_entry(queue, job.entry)
local entry, what = enqueue(base, job.queue, id, job.tool, job.place, now + delay, job)
redis.call('HSET', record, 'status', 'queued', 'entry', entry, 'worker', '', 'retries', int(retries + 1),
  'message', message, 'updated_ms', int(now), 'waits', waits(what, now, 'failed', now + delay))
ring_waiters(base, id, job.waiters)
if job.place then
  leave_slot(base, job.queue, job.tool, id)
end
return { 'RETRY', due }

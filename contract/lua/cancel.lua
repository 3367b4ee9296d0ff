-- cancel: queued, working or input_required -> cancelled. A queued job leaves its stream, a running one is told to stop.
-- KEYS  record
-- ARGV  base · id · owner ('*' for an operator) · message
-- Replies
--   OK, field, value …     cancelled; the record as a poll shows it
--   DONE, field, value …   terminal before; unchanged; the record as a poll shows it
--   GONE                   no such record for this owner
-- Effects  rings the worker that holds the job and the front ends that watch it
local record = KEYS[1]
local base, id, owner, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local job = read(record, CLOSING)
if not job.status or (owner ~= '*' and job.owner ~= owner) then
  return { 'GONE' }
end
if TERMINAL[job.status] then
  return append_fields({ 'DONE' }, record, VIEW)
end
local reply = { 'OK' }
close(base, record, id, job, 'cancelled', { 'message', message }, reply)
if job.worker and job.worker ~= '' then
  redis.call('PUBLISH', base .. 'inbox:' .. job.worker, id)
end
return reply

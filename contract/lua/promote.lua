-- promote: changes no status. A plain call whose caller waits no longer becomes a task: its caller has the id.
-- KEYS  record
-- ARGV  base · id · owner · keep_ms (integer, how long the record stays after the end at least)
-- Replies
--   OK, field, value …     it is a task, also by this very call made twice; the record as a poll shows it
--   DONE, field, value …   terminal before; unchanged; the record as a poll shows it
--   GONE                   no such record for this owner
-- Effects  the record keeps its ttl; owned gets the id (owners only); the token of the call's progress is spent
local record = KEYS[1]
local base, id, owner, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local job = read(record, { 'status', 'owner', 'plain', 'created_ms', 'ttl_ms', 'alias' })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if TERMINAL[job.status] then
  return append_fields({ 'DONE' }, record, VIEW)
end
local reply = { 'OK' }
if job.plain ~= '1' then
  return append_fields(reply, record, VIEW)
end
promote(base, record, id, job, keep, reply)
return reply

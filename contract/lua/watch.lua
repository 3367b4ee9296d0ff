-- watch: changes no status. Notes that a front end watches the job, so that it is rung, and shows where the job stands.
-- KEYS  record
-- ARGV  base · id · owner · front_end (its id)
-- Replies
--   OK, field, value …   the record as a poll shows it, without its outcome: whoever watches many would hold them all
--   GONE                 no such record for this owner
local record = KEYS[1]
local owner, front_end = ARGV[3], ARGV[4]

local job = read(record, { 'status', 'owner', 'waiters' })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if not TERMINAL[job.status] then
  local waiters = job.waiters or ''
  if not string.find(',' .. waiters .. ',', ',' .. front_end .. ',', 1, true) then
    redis.call('HSET', record, 'waiters', waiters == '' and front_end or (waiters .. ',' .. front_end))
  end
end
return append_fields({ 'OK' }, record, VIEW)

-- end_outside: no transition: what another system ran for a job has ended, or was never there. Any worker may say so, whoever holds
-- the job.
-- KEYS  record, outside
-- ARGV  id · tool · until (as take_outside gave it; '' for what the record says)
-- Replies  OK
local record, outside = KEYS[1], KEYS[2]
local id, tool, known = ARGV[1], ARGV[2], ARGV[3]

local said = read_record(record, { 'outside' }).outside
if known == '' then
  known = said or ''
end
drop_member(outside, id .. ':' .. known .. ':' .. tool)
if said then
  redis.call('HDEL', record, 'outside')
end
return { 'OK' }

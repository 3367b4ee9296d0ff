-- deliver_input: changes no status. Gives one carrier the right to send an open question to the client for a while, so
-- that it goes out once, whichever replicas have a connection. A carrier that vanishes loses the right by silence.
-- KEYS  record
-- ARGV  base · id · owner · key · carrier (names a connection of a replica, no space) · valid_ms (integer > 0)
-- Replies
--   OK, request   the question is the caller's to send; a carrier that has the right keeps it for valid_ms more
--   TAKEN         another carrier has it
--   IGNORED       it is not open: never asked, answered, or the job is terminal
--   GONE          no such record for this owner
local record = KEYS[1]
local owner, key, carrier, valid = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])

local job = read(record, { 'status', 'owner', 'ask:' .. key, 'answer:' .. key, 'sent:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if TERMINAL[job.status] or not job['ask:' .. key] or job['answer:' .. key] then
  return { 'IGNORED' }
end
local now = now_ms()
local until_ms, holder = string.match(job['sent:' .. key] or '', '^(%d+) (.*)$')
if holder and holder ~= carrier and tonumber(until_ms) > now then
  return { 'TAKEN' }
end
redis.call('HSET', record, 'sent:' .. key, int(now + valid) .. ' ' .. carrier)
return { 'OK', job['ask:' .. key] }

-- deliver_input: changes no status. Gives one carrier the right to send an open question to the client, so that it goes
-- out once, whichever replicas have a connection.
-- KEYS  record
-- ARGV  base · id · owner · key · carrier (names a connection of a replica)
-- Replies
--   OK, request   the question is the caller's to send
--   TAKEN         another carrier has it
--   IGNORED       it is not open: never asked, answered, or the job is terminal
--   GONE          no such record for this owner
local record = KEYS[1]
local owner, key, carrier = ARGV[3], ARGV[4], ARGV[5]

local job = read(record, { 'status', 'owner', 'ask:' .. key, 'answer:' .. key, 'sent:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if TERMINAL[job.status] or not job['ask:' .. key] or job['answer:' .. key] then
  return { 'IGNORED' }
end
if job['sent:' .. key] then
  return { 'TAKEN' }
end
redis.call('HSET', record, 'sent:' .. key, carrier)
return { 'OK', job['ask:' .. key] }

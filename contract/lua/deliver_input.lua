-- deliver_input: changes no status. Gives one carrier the right to send an open question to the client for a while, so
-- that it goes out once, whichever replicas have a connection. A carrier that vanishes loses the right by silence.
-- KEYS  record
-- ARGV  base · id · owner · key · carrier (names a connection of a replica, no space) · session (whose connection it is)
--       · valid_ms (integer > 0) · abandoned_ms (after which a client's task that nobody asks for stands in no other
--       session's way, integer >= 0)
-- Replies
--   OK, request, lives_ms   the question is the caller's to send; a carrier that has the right keeps it for valid_ms more;
--                           so long the record lives
--   TAKEN                   another carrier has it, or another session's client answers it by a task of its own
--   IGNORED                 it is not open: never asked, answered, or the job is terminal; or this session's client answers
--                           it by a task of its own (poll_remote)
--   GONE                    no such record for this owner
-- Effects  a client's task that was due to be asked for abandoned_ms ago moves from remote:<key> to unwanted:<key>
local record = KEYS[1]
local owner, key, carrier, session = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local valid, abandoned = tonumber(ARGV[7]), tonumber(ARGV[8])

local job = read(record, { 'status', 'owner', 'ask:' .. key, 'answer:' .. key, 'sent:' .. key, 'remote:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if TERMINAL[job.status] or not job['ask:' .. key] or job['answer:' .. key] then
  return { 'IGNORED' }
end
local remote = job['remote:' .. key] and cjson.decode(job['remote:' .. key])
if remote and remote.session == session then
  return { 'IGNORED' }
end
if remote and remote.due_ms + abandoned > now_ms() then
  return { 'TAKEN' }
end
if not take_right(record, job, key, carrier, valid) then
  return { 'TAKEN' }
end
if remote then
  redis.call('HSET', record, 'unwanted:' .. key, remote.session .. ' ' .. remote.task)
  redis.call('HDEL', record, 'remote:' .. key)
end
return { 'OK', job['ask:' .. key], redis.call('PTTL', record) }

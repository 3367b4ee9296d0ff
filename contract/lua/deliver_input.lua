-- deliver_input: changes no status. Gives one sender the right to send an open question to the client for a while, so
-- that it goes out once, whichever front ends have a connection. A sender that vanishes loses the right by silence.
-- KEYS  record
-- ARGV  base · id · owner · key · sender (the id of a front end's connection, no space) · session (whose connection it is)
--       · valid_ms (integer > 0) · abandoned_ms (after which a client's task that nobody asks for stands in no other
--       session's way, integer >= 0)
-- Replies
--   OK, request, lives_ms   the question is the caller's to send; a sender that has the right keeps it for valid_ms more;
--                           so long the record lives
--   TAKEN                   another sender has it, or another session's client answers it by a task of its own
--   IGNORED                 it is not open: never asked, answered, or the job is terminal; or this session's client answers
--                           it by a task of its own (poll_client_task)
--   GONE                    no such record for this owner
-- Effects  a client's task that was due to be asked for abandoned_ms ago moves from client_task:<key> to orphaned:<key>
local record = KEYS[1]
local owner, key, sender, session = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local valid, abandoned = tonumber(ARGV[7]), tonumber(ARGV[8])

local job = read(record, { 'status', 'owner', 'ask:' .. key, 'answer:' .. key, 'sent:' .. key, 'client_task:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if TERMINAL[job.status] or not job['ask:' .. key] or job['answer:' .. key] then
  return { 'IGNORED' }
end
local client_task = job['client_task:' .. key] and cjson.decode(job['client_task:' .. key])
if client_task and client_task.session == session then
  return { 'IGNORED' }
end
if client_task and client_task.due_ms + abandoned > now_ms() then
  return { 'TAKEN' }
end
if not take_right(record, job, key, sender, valid) then
  return { 'TAKEN' }
end
if client_task then
  redis.call('HSET', record, 'orphaned:' .. key, client_task.session .. ' ' .. client_task.task)
  redis.call('HDEL', record, 'client_task:' .. key)
end
return { 'OK', job['ask:' .. key], redis.call('PTTL', record) }

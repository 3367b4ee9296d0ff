-- note_client_task: changes no status. Notes what a client says of a task of its own, by which it answers a question.
-- KEYS  record
-- ARGV  base · id · owner · key · session (which says it) · poll (the number of the poll that this answers; '' when the
--       client says that it made the task) · task (the client's id for it; '' with a poll) · status (working,
--       input_required, completed, failed) · message ('' none) · poll_ms (integer > 0; '' as it was)
-- Replies
--   OK        noted: working is asked for again after poll_ms, anything else at once
--   LATE      nothing waits for this new task: the question has its answer or another task, or the job is terminal; the
--             task is noted as orphaned
--   IGNORED   the key was never asked; or the answer to a poll that is not the last one, or is nobody's any more
--   GONE      no such record for this owner
-- Effects  client_task:<key>, or orphaned:<key> (the latest of a key); rings the front ends that watch it
local record = KEYS[1]
local base, id, owner, key, session, poll = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local task, status, message, poll_ms = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])

local job = read(record, { 'status', 'owner', 'waiters', 'ask:' .. key, 'answer:' .. key, 'client_task:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
local open = not TERMINAL[job.status] and not job['answer:' .. key]
local client_task = job['client_task:' .. key] and cjson.decode(job['client_task:' .. key])
local known = client_task and client_task.session == session and (poll ~= '' or client_task.task == task)

if not job['ask:' .. key] then
  return { 'IGNORED' }
end
if poll ~= '' and not (open and known and int(client_task.polls) == poll) then
  return { 'IGNORED' }
end
if poll == '' and open and known then
  return { 'OK' }
end
if poll == '' and not (open and not client_task) then
  redis.call('HSET', record, 'orphaned:' .. key, session .. ' ' .. task)
  ring_waiters(base, id, job.waiters)
  return { 'LATE' }
end

client_task = client_task or { task = task, session = session, polls = 0 }
client_task.status = status
client_task.message = message ~= '' and message or nil
client_task.poll_ms = poll_ms or client_task.poll_ms
client_task.waiting = nil
local patient = status == 'working' or (status == 'input_required' and client_task.fetching)
client_task.due_ms = now_ms() + (patient and client_task.poll_ms or 0)
if status ~= 'input_required' then
  client_task.fetching = nil
end
redis.call('HSET', record, 'client_task:' .. key, cjson.encode(client_task))
ring_waiters(base, id, job.waiters)
return { 'OK' }

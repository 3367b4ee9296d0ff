-- note_remote: changes no status. Notes what a client says of a task of its own, by which it answers a question.
-- KEYS  record
-- ARGV  base · id · owner · key · session (which says it) · poll (the number of the poll that this answers; '' when the
--       client says that it made the task) · task (the client's id for it; '' with a poll) · status (working,
--       input_required, completed, failed) · message ('' none) · poll_ms (integer > 0; '' as it was)
-- Replies
--   OK        noted: working is asked for again after poll_ms, anything else at once
--   LATE      nothing waits for this new task: the question has its answer or another task, or the job is terminal; the
--             task is noted as unwanted
--   IGNORED   the key was never asked; or the answer to a poll that is not the last one, or is nobody's any more
--   GONE      no such record for this owner
-- Effects  remote:<key>, or unwanted:<key> (the latest of a key); rings the replicas that wait
local record = KEYS[1]
local base, id, owner, key, session, poll = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local task, status, message, poll_ms = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])

local job = read(record, { 'status', 'owner', 'waiters', 'ask:' .. key, 'answer:' .. key, 'remote:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
local open = not TERMINAL[job.status] and not job['answer:' .. key]
local remote = job['remote:' .. key] and cjson.decode(job['remote:' .. key])
local known = remote and remote.session == session and (poll ~= '' or remote.task == task)

if not job['ask:' .. key] then
  return { 'IGNORED' }
end
if poll ~= '' and not (open and known and int(remote.polls) == poll) then
  return { 'IGNORED' }
end
if poll == '' and open and known then
  return { 'OK' }
end
if poll == '' and not (open and not remote) then
  redis.call('HSET', record, 'unwanted:' .. key, session .. ' ' .. task)
  ring_waiters(base, id, job.waiters)
  return { 'LATE' }
end

remote = remote or { task = task, session = session, polls = 0 }
remote.status = status
remote.message = message ~= '' and message or nil
remote.poll_ms = poll_ms or remote.poll_ms
remote.waiting = nil
local patient = status == 'working' or (status == 'input_required' and remote.fetching)
remote.due_ms = now_ms() + (patient and remote.poll_ms or 0)
if status ~= 'input_required' then
  remote.fetching = nil
end
redis.call('HSET', record, 'remote:' .. key, cjson.encode(remote))
ring_waiters(base, id, job.waiters)
return { 'OK' }

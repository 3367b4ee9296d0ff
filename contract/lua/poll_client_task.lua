-- poll_client_task: changes no status. Says what to send to a client that answers an open question by a task of its own, and
-- gives one sender the right to send it, as deliver_input does.
-- KEYS  record
-- ARGV  base · id · owner · key · sender · session (whose connection it is) · valid_ms (integer > 0)
--       · again_ms (a message that has no answer so long after the next was due is repeated, integer > 0)
-- Replies
--   OK, what, poll, task, next_ms   to be sent now, once: what is get (how the task stands) or result (its outcome); poll
--                                   is the number of this message, from 1; in next_ms more is due
--   WAIT, next_ms                   the right is the caller's; in next_ms something is due
--   TAKEN                           another sender has the right
--   IGNORED                         nothing to ask: no such task of this session, or its question is not open any more
--   GONE                            no such record for this owner
-- Effects  client_task:<key>: polls + 1, when the next is due. A task that wants input is asked for its result once, as it
--          wishes, and then how it stands. A sender that takes over repeats what was left without an answer.
local record = KEYS[1]
local owner, key, sender, session = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local valid, again = tonumber(ARGV[7]), tonumber(ARGV[8])

local job = read(record, { 'status', 'owner', 'answer:' .. key, 'sent:' .. key, 'client_task:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
local client_task = job['client_task:' .. key] and cjson.decode(job['client_task:' .. key])
if TERMINAL[job.status] or job['answer:' .. key] or not client_task or client_task.session ~= session then
  return { 'IGNORED' }
end
local taken, kept = take_right(record, job, key, sender, valid)
if not taken then
  return { 'TAKEN' }
end

local now = now_ms()
if not kept then
  -- What went out over another connection may be lost with it, or its answer.
  if client_task.waiting then
    client_task.due_ms = client_task.due_ms - again
  end
  client_task.waiting, client_task.fetching = nil, nil
end
if client_task.due_ms > now then
  if not kept then
    redis.call('HSET', record, 'client_task:' .. key, cjson.encode(client_task))
  end
  return { 'WAIT', client_task.due_ms - now }
end

local fetch = client_task.status ~= 'working' and not client_task.fetching
client_task.polls = client_task.polls + 1
if fetch and client_task.status == 'input_required' then
  -- This one is answered when the task ends, however long that takes.
  client_task.fetching, client_task.waiting = true, nil
  client_task.due_ms = now + client_task.poll_ms
else
  client_task.waiting = true
  client_task.due_ms = now + client_task.poll_ms + again
end
redis.call('HSET', record, 'client_task:' .. key, cjson.encode(client_task))
return { 'OK', fetch and 'result' or 'get', int(client_task.polls), client_task.task, client_task.due_ms - now }

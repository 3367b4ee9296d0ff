-- poll_remote: changes no status. Says what to send to a client that answers an open question by a task of its own, and
-- gives one carrier the right to send it, as deliver_input does.
-- KEYS  record
-- ARGV  base · id · owner · key · carrier · session (whose connection it is) · valid_ms (integer > 0)
--       · again_ms (a message that has no answer so long after the next was due is repeated, integer > 0)
-- Replies
--   OK, what, poll, task, next_ms   to be sent now, once: what is get (how the task stands) or result (its outcome); poll
--                                   is the number of this message, from 1; in next_ms more is due
--   WAIT, next_ms                   the right is the caller's; in next_ms something is due
--   TAKEN                           another carrier has the right
--   IGNORED                         nothing to ask: no such task of this session, or its question is not open any more
--   GONE                            no such record for this owner
-- Effects  remote:<key>: polls + 1, when the next is due. A task that wants input is asked for its result once, as it
--          wishes, and then how it stands. A carrier that takes over repeats what was left without an answer.
local record = KEYS[1]
local owner, key, carrier, session = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local valid, again = tonumber(ARGV[7]), tonumber(ARGV[8])

local job = read(record, { 'status', 'owner', 'answer:' .. key, 'sent:' .. key, 'remote:' .. key })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
local remote = job['remote:' .. key] and cjson.decode(job['remote:' .. key])
if TERMINAL[job.status] or job['answer:' .. key] or not remote or remote.session ~= session then
  return { 'IGNORED' }
end
local taken, kept = take_right(record, job, key, carrier, valid)
if not taken then
  return { 'TAKEN' }
end

local now = now_ms()
if not kept then
  -- What went out over another connection may be lost with it, or its answer.
  if remote.waiting then
    remote.due_ms = remote.due_ms - again
  end
  remote.waiting, remote.fetching = nil, nil
end
if remote.due_ms > now then
  if not kept then
    redis.call('HSET', record, 'remote:' .. key, cjson.encode(remote))
  end
  return { 'WAIT', remote.due_ms - now }
end

local fetch = remote.status ~= 'working' and not remote.fetching
remote.polls = remote.polls + 1
if fetch and remote.status == 'input_required' then
  -- This one is answered when the task ends, however long that takes.
  remote.fetching, remote.waiting = true, nil
  remote.due_ms = now + remote.poll_ms
else
  remote.waiting = true
  remote.due_ms = now + remote.poll_ms + again
end
redis.call('HSET', record, 'remote:' .. key, cjson.encode(remote))
return { 'OK', fetch and 'result' or 'get', int(remote.polls), remote.task, remote.due_ms - now }

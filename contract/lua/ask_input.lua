-- ask_input: working -> input_required. Puts a question to the client; the same key is never asked twice.
-- KEYS  record
-- ARGV  base · id · attempt · key · request (JSON: method, params)
-- Replies
--   ASKED                the question is open
--   ANSWERED, answer     an answer to this key is stored already (an earlier attempt asked); nothing changes
--   CANCELLED · DONE · GONE · STALE   as renew_lease
-- Effects  asked counts questions, open those without an answer; rings the replicas that wait
local record = KEYS[1]
local base, id, attempt, key, request = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local job = read(record, { 'status', 'attempt', 'worker', 'waiters', 'ask:' .. key, 'answer:' .. key })
local refused = refusal(job, attempt)
if refused then
  return { refused }
end
if job['answer:' .. key] then
  return { 'ANSWERED', job['answer:' .. key] }
end
if not job['ask:' .. key] then
  redis.call('HSET', record, 'ask:' .. key, request)
  redis.call('HINCRBY', record, 'asked', 1)
  redis.call('HINCRBY', record, 'open', 1)
end
redis.call('HSET', record, 'status', 'input_required', 'updated_ms', int(now_ms()))
ring_waiters(base, id, job.waiters)
return { 'ASKED' }

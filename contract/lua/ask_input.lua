-- ask_input: working -> input_required. Stores questions for the client, all in one step; the same key is never asked twice.
-- KEYS  record
-- ARGV  base · id · attempt · then one or more key, request (JSON: method, params)
-- Replies
--   ASKED, key, answer …      open are the questions of this call but for those that follow, which have these answers
--   ANSWERED, key, answer …   all of them have their answers already (an earlier attempt asked); nothing changes
--   CANCELLED · DONE · GONE · STALE   as renew_lease
-- Effects  asked counts questions, open those without an answer; rings the front ends that watch it
local record = KEYS[1]
local base, id, attempt = ARGV[1], ARGV[2], ARGV[3]
local FIRST_KEY = 4

local names = { 'status', 'attempt', 'worker', 'waiters', 'asked', 'open' }
for i = FIRST_KEY, #ARGV, 2 do
  names[#names + 1] = 'ask:' .. ARGV[i]
  names[#names + 1] = 'answer:' .. ARGV[i]
end
local job = read(record, names)
local refused = refusal(job, attempt)
if refused then
  return { refused }
end

local answered, fields = {}, {}
local seen, open, new = {}, 0, 0
for i = FIRST_KEY, #ARGV, 2 do
  local key, request = ARGV[i], ARGV[i + 1]
  if seen[key] then
    -- Of a key that comes twice the first request counts.
  elseif job['answer:' .. key] then
    answered[#answered + 1] = key
    answered[#answered + 1] = job['answer:' .. key]
  else
    open = open + 1
    if not job['ask:' .. key] then
      new = new + 1
      fields[#fields + 1] = 'ask:' .. key
      fields[#fields + 1] = request
    end
  end
  seen[key] = true
end
if open == 0 then
  return { 'ANSWERED', unpack(answered) }
end
if new > 0 then
  fields[#fields + 1] = 'asked'
  fields[#fields + 1] = int((tonumber(job.asked) or 0) + new)
  fields[#fields + 1] = 'open'
  fields[#fields + 1] = int((tonumber(job.open) or 0) + new)
end
redis.call('HSET', record, 'status', 'input_required', 'updated_ms', int(now_ms()), unpack(fields))
ring_waiters(base, id, job.waiters)
return { 'ASKED', unpack(answered) }

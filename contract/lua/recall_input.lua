-- recall_input: changes no status. A sender that closed gives its unanswered questions back, for another to send.
-- KEYS  record
-- ARGV  base · id · owner · sender
-- Replies
--   OK, recalled   so many questions may be sent again
--   GONE           no such record for this owner
-- Effects  rings the front ends that watch it
local record = KEYS[1]
local base, id, owner, sender = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local job = read(record, { 'status', 'owner', 'waiters' })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
local recalled = 0
local fields = redis.call('HGETALL', record)
local present = {}
for i = 1, #fields, 2 do
  present[fields[i]] = fields[i + 1]
end
for name, value in pairs(present) do
  local key = string.match(name, '^sent:(.*)$')
  if key and string.match(value, ' (.*)$') == sender and not present['answer:' .. key] then
    redis.call('HDEL', record, name)
    recalled = recalled + 1
  end
end
if recalled > 0 then
  ring_waiters(base, id, job.waiters)
end
return { 'OK', recalled }

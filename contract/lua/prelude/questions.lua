-- questions: which connection may send a question to the client.

-- Gives a sender the right to send what there is to send for a question, for `valid` ms from now, or keeps it for the
-- one that has it. False if another has it; else true, and whether the sender had it before.
local function take_right(record, job, key, sender, valid)
  local now = now_ms()
  local until_ms, holder = string.match(job['sent:' .. key] or '', '^(%d+) (.*)$')
  if holder and holder ~= sender and tonumber(until_ms) > now then
    return false
  end
  redis.call('HSET', record, 'sent:' .. key, int(now + valid) .. ' ' .. sender)
  return true, holder == sender
end

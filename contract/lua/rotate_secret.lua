-- rotate_secret: no job. Another secret takes the place of the one with which front ends sign what clients carry. What was signed
-- with the old one is taken for a while longer, so that no call that is under way breaks.
-- KEYS  secret
-- ARGV  the new secret · keep_ms (how long the old one counts, integer >= 0)
-- Replies
--   OK
local secret = KEYS[1]
local new, keep = ARGV[1], tonumber(ARGV[2])

local old = is_a(secret, 'string') and string.match(redis.call('GET', secret) or '', '^%S+')
if old and keep > 0 then
  new = new .. ' ' .. old .. ' ' .. int(now_ms() + keep)
end
redis.call('SET', secret, new)
return { 'OK' }

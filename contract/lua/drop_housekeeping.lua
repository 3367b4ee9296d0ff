-- drop_housekeeping: no job. A process that stops keeps house no more, so that another begins at once.
-- KEYS  housekeeper
-- ARGV  holder
-- Replies
--   OK   it is not the caller; another that took it meanwhile keeps it
local housekeeper = KEYS[1]
local holder = ARGV[1]

local stored = is_a(housekeeper, 'string') and redis.call('GET', housekeeper) or ''
local held, counted_and_deputies = string.match(stored, '^(%S+) %d+ (%d+.*)$')
if held == holder then
  redis.call('SET', housekeeper, held .. ' ' .. int(now_ms()) .. ' ' .. counted_and_deputies, 'KEEPTTL')
end
return { 'OK' }

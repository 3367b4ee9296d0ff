-- hold_housekeeping: no job. One process at a time keeps the queues of a shard, or one of them, going: the first that asks, for as
-- long as it says so again in time.
-- KEYS  housekeeper
-- ARGV  holder (the id of a front end or worker) · valid_ms (integer > 0) · processes (about how many may hold it, as the
--       holder counts them, integer >= 0)
-- Replies
--   HELD, idle_ms              it is the caller, for valid_ms from now; before, nobody was for so long
--   TAKEN, left_ms, processes  another is, for so long unless it says so again; as many as it counted
-- Effects  the key stays for a day after its last holder, so that the next one sees for how long nobody was
local housekeeper = KEYS[1]
local holder, valid, processes = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local KEPT_MS = 86400 * 1000

local now = now_ms()
local held, until_ms, counted
if is_a(housekeeper, 'string') then
  held, until_ms, counted = string.match(redis.call('GET', housekeeper) or '', '^(%S+) (%d+) (%d+)$')
end
until_ms = tonumber(until_ms) or now
if held and held ~= holder and until_ms > now then
  return { 'TAKEN', int(until_ms - now), counted }
end
redis.call('SET', housekeeper, holder .. ' ' .. int(now + valid) .. ' ' .. processes, 'PX', KEPT_MS)
return { 'HELD', int(math.max(0, now - until_ms)) }

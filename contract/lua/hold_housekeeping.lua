-- hold_housekeeping: no job. One process at a time keeps the queues of a shard, or one of them, going: the first that asks, for as
-- long as it says so again in time. The first others that ask are its deputies, so that not all need to ask often.
-- KEYS  housekeeper
-- ARGV  holder (the id of a front end or worker) · valid_ms (integer > 0) · processes (about how many may hold it, as the
--       holder counts them, integer >= 0)
-- Replies
--   HELD, idle_ms                         it is the caller, for valid_ms from now; before, nobody was for so long
--   TAKEN, left_ms, processes, is_deputy  another is, for so long unless it says so again; as many as it counted. 1 if the caller
--                                         is a deputy, who asks again as soon as that time is over; else 0
-- Effects  the key stays for a day after its last holder, so that the next one sees for how long nobody was. A deputy that did not
--          ask for a while is none any more
local housekeeper = KEYS[1]
local holder, valid, processes = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local KEPT_MS = 86400 * 1000
local DEPUTIES, DEPUTY_MS = 2, 3000

local now = now_ms()
local stored = redis.pcall('GET', housekeeper)
local held, until_ms, counted, others
if type(stored) == 'string' then
  held, until_ms, counted, others = string.match(stored, '^(%S+) (%d+) (%d+)(.*)$')
end
until_ms = tonumber(until_ms) or now

-- The deputies but for the caller, as they are stored.
local deputies, was_deputy = {}, false
for id, asked_ms in string.gmatch(others or '', ' (%S+) (%d+)') do
  if id == holder then
    was_deputy = true
  elseif #deputies < DEPUTIES and math.abs(now - tonumber(asked_ms)) < DEPUTY_MS then
    deputies[#deputies + 1] = ' ' .. id .. ' ' .. asked_ms
  end
end

if held and held ~= holder and until_ms > now then
  local is_deputy = #deputies < DEPUTIES
  if is_deputy then
    deputies[#deputies + 1] = ' ' .. holder .. ' ' .. int(now)
  end
  if is_deputy or was_deputy then
    local kept = held .. ' ' .. int(until_ms) .. ' ' .. counted .. table.concat(deputies)
    redis.call('SET', housekeeper, kept, 'KEEPTTL')
  end
  return { 'TAKEN', int(until_ms - now), counted, is_deputy and 1 or 0 }
end
local kept = holder .. ' ' .. int(now + valid) .. ' ' .. processes .. table.concat(deputies)
redis.call('SET', housekeeper, kept, 'PX', KEPT_MS)
return { 'HELD', int(math.max(0, now - until_ms)) }

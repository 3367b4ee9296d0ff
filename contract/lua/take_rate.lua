-- take_rate: no job. Requests of a caller, as many in a second as it may make, on all front ends together (generic cell rate
-- algorithm: one number is kept, the time at which the caller will have used nothing).
-- KEYS  rate
-- ARGV  each_second (integer > 0, also how many may come at once) · cost (integer > 0, in requests) · owed ('1': it is counted
--       also if there is no room for it, up to ten bursts; '0')
-- Replies
--   OK           counted
--   WAIT, ms     there is no room before that has passed; nothing is counted
local rate = KEYS[1]
local each_second, cost, owed = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

-- A caller that fails again and again waits so long at most, µs.
local DEBT = 10 * 1000000

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local space = 1000000 / each_second
local used_until = now
if is_a(rate, 'string') then
  used_until = math.max(now, tonumber(redis.call('GET', rate) or '') or now)
end
local after = used_until + space * cost
-- What was not used in a second may come at once; what costs more than that must fit, too.
local burst = math.max(1000000, space * cost)
if after - now > burst then
  if owed ~= '1' then
    return { 'WAIT', int(math.ceil((after - now - burst) / 1000)) }
  end
  after = math.min(after, now + math.max(burst, DEBT))
end
redis.call('SET', rate, int(after), 'PX', int(math.ceil((after - now) / 1000) + 1))
return { 'OK' }

-- take_place: no job. One of a bounded number of places, for a time: of the sessions of a caller, or of all sessions.
-- KEYS  places
-- ARGV  member (who has the place) · valid_ms (integer > 0) · most (places, 0 for no limit)
-- Replies
--   OK           the member has a place for valid_ms from now, which may be the one that it had
--   FULL, most   others have all of them; nothing is written
local places = KEYS[1]
local member, valid, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local now = now_ms()
if not is_a(places, 'zset') then
  redis.call('DEL', places)
end
redis.call('ZREMRANGEBYSCORE', places, '-inf', int(now))
if most > 0 and redis.call('ZCARD', places) >= most and not redis.call('ZSCORE', places, member) then
  return { 'FULL', most }
end
redis.call('ZADD', places, int(now + valid), member)
local last = redis.call('ZRANGE', places, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', places, last[2])
return { 'OK' }

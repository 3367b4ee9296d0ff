-- beat: no job. Notes that a worker is alive, and what it tells operators of itself.
-- KEYS  worker, workers
-- ARGV  worker · kept_ms (how long it counts as alive, integer > 0) · then field, value …
-- Replies
--   OK
local worker, workers = KEYS[1], KEYS[2]
local id, kept = ARGV[1], tonumber(ARGV[2])

local now = now_ms()
redis.call('HSET', worker, unpack(ARGV, 3))
redis.call('PEXPIRE', worker, kept)
redis.call('ZREMRANGEBYSCORE', workers, '-inf', int(now - kept))
redis.call('ZADD', workers, int(now), id)
redis.call('PEXPIRE', workers, kept)
return { 'OK' }

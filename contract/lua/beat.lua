-- beat: no job. Notes that a worker is alive, which definitions of tools it has, and what it reports of itself to operators.
-- KEYS  worker, workers, definitions
-- ARGV  worker · kept_ms (how long it counts as alive, integer > 0) · number of definitions (integer >= 0) · so many, each
--       tool and digest · then field, value …
-- Replies
--   OK
local worker, workers, definitions = KEYS[1], KEYS[2], KEYS[3]
local id, kept, held = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST_DEFINITION = 4

need('hash', worker)
need('zset', workers, definitions)
local now = now_ms()
redis.call('HSET', worker, unpack(ARGV, FIRST_DEFINITION + held))
redis.call('PEXPIRE', worker, kept)
redis.call('ZREMRANGEBYSCORE', workers, '-inf', int(now - kept))
redis.call('ZADD', workers, int(now), id)
redis.call('PEXPIRE', workers, kept)
redis.call('ZREMRANGEBYSCORE', definitions, '-inf', int(now - kept))
for i = FIRST_DEFINITION, FIRST_DEFINITION + held - 1 do
  redis.call('ZADD', definitions, int(now), ARGV[i])
end
redis.call('PEXPIRE', definitions, kept)
return { 'OK' }

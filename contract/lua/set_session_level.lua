-- set_session_level: changes what a legacy session hears of its jobs' logs; a session that ended is not revived.
-- KEYS  session
-- ARGV  level
-- Replies
--   OK     stored
--   GONE   there is no such session; nothing is written
local session = KEYS[1]

if redis.call('EXISTS', session) == 0 then
  return { 'GONE' }
end
redis.call('HSET', session, 'log_level', ARGV[1])
return { 'OK' }

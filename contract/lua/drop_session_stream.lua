-- drop_session_stream: no job. A connection that was a legacy session's own stream closed.
-- KEYS  stream
-- ARGV  sender
-- Replies
--   OK      it is none any more
--   TAKEN   another connection is by now; unchanged
local stream = KEYS[1]
local sender = ARGV[1]

local holder = redis.call('GET', stream)
if holder and holder ~= sender then
  return { 'TAKEN' }
end
redis.call('DEL', stream)
return { 'OK' }

-- hold_session_stream: no job. One connection at a time is a legacy session's own stream: the one that was opened last, for
-- as long as it says so. One that asks while there is none becomes it.
-- KEYS  stream
-- ARGV  sender (the id of a front end's connection, no space) · valid_ms (integer > 0) · opens ('1': it was just opened, and
--       goes before any other; '0')
-- Replies
--   HELD, before   the caller's connection is the one, for valid_ms from now; before it that connection was, which may be
--                  the caller's own, or empty for none
--   TAKEN          another connection is; nothing is written
local stream = KEYS[1]
local sender, valid, opens = ARGV[1], ARGV[2], ARGV[3]

local before = redis.call('GET', stream) or ''
if opens ~= '1' and before ~= '' and before ~= sender then
  return { 'TAKEN' }
end
redis.call('SET', stream, sender, 'PX', valid)
return { 'HELD', before }

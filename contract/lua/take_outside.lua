-- take_outside: no transition: of one queue, jobs that have ended, or whose records expired, and that another system may still run.
-- The caller ends them there and says so (end_outside); others get them again after a while.
-- KEYS  outside
-- ARGV  base · count (how many at most, integer > 0) · kept_ms (for so long others do not get them, integer > 0) · then
--       the tools whose jobs the caller can end
-- Replies
--   OK, then of each job id, until, tool, arguments
--             until: when its record was to expire, ms. arguments: '' if the record is gone, or they are large
-- A job that lives is looked at again when its record is to expire.
local outside = KEYS[1]
local base, count, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local is_own = {}
for i = 4, #ARGV do
  is_own[ARGV[i]] = true
end

-- At most so many are looked at in one call.
local LOOKED_AT = 1000

local now = now_ms()
local reply, taken = { 'OK' }, 0
if not is_a(outside, 'zset') then
  return reply
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', outside, '-inf', int(now), 'LIMIT', 0, LOOKED_AT)) do
  local id, known, tool = string.match(member, '^([^:]+):(%d+):([^:]+)$')
  if not id then
    redis.call('ZREM', outside, member)
  elseif is_own[tool] and taken < count then
    local record = base .. 'task:' .. id
    local job = read_record(record, { 'status', 'created_ms', 'ttl_ms' })
    local lives = job.status and not TERMINAL[job.status]
    if lives then
      local expires = (tonumber(job.created_ms) or now) + (tonumber(job.ttl_ms) or 0)
      redis.call('ZADD', outside, int(math.max(expires, now) + OUTSIDE_LEFT_MS), member)
    else
      redis.call('ZADD', outside, int(now + kept), member)
      local arguments = ''
      if job.status and redis.call('HSTRLEN', record, 'arguments') <= LARGE then
        arguments = redis.call('HGET', record, 'arguments') or ''
      end
      for _, word in ipairs({ id, known, tool, arguments }) do
        reply[#reply + 1] = word
      end
      taken = taken + 1
    end
  end
end
return reply

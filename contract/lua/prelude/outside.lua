-- outside: jobs that run in another system for a job of ours, and must be ended there, too. Each that was begun is noted until a
-- worker says that it has ended. By queue: `outside`, "<id>:<until>:<tool>" by when somebody has to look whether it is to be ended
-- (ms). `until` is when the record was to expire (ms); the record says it, too (`outside`).

-- Whoever holds the job ends what runs outside; others wait for that, ms.
local OUTSIDE_LEFT_MS = 60000

-- After this time nobody looks after it any more, ms.
local OUTSIDE_KEPT_MS = 7 * 86400 * 1000

local function outside_of(base, queue)
  return base .. 'outside:' .. queue
end

-- A job ends: what runs outside for it, if something does, is to be ended; at once if nobody holds the job.
local function end_outside(base, id, job, was_held, now)
  local outside = outside_of(base, job.queue)
  if job.outside and is_a(outside, 'zset') then
    local at = now + (was_held and OUTSIDE_LEFT_MS or 0)
    redis.call('ZADD', outside, 'XX', int(at), id .. ':' .. job.outside .. ':' .. job.tool)
  end
end

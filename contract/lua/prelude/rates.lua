-- rates: how many attempts of a tool's jobs begin in a time, whoever runs them. `rate` of a record is `<count>/<window_ms>`: of the
-- attempts of jobs that have it at most `count` begin in any window of so many ms. Behind that ` refuse` may stand: then a call
-- that finds the rate used up is refused by `submit`; else its job waits.
--
-- By queue and tool: `begun`, the attempts that began within the last window, `<id>:<attempt>` by when (ms); and `booked`, of tools
-- that refuse, the jobs that were queued and have not begun yet, ids by when their records expire.

local function begun_of(base, queue, tool)
  return base .. 'begun:' .. queue .. ':' .. tool
end

local function booked_of(base, queue, tool)
  return base .. 'booked:' .. queue .. ':' .. tool
end

-- The rate of a job: how many, in how many ms, and whether calls beyond it are refused; nil if it has none that can be read.
local function rate_of(job)
  local count, window, excess = string.match(job.rate or '', '^(%d+)/(%d+) ?(%a*)$')
  count, window = tonumber(count), tonumber(window)
  if count and count >= 1 and window >= 1 then
    return count, window, excess == 'refuse'
  end
end

-- When a job may begin that has so many before it, ms; nil if its rate has room now. About then: of those before it some may end
-- without having begun, or begin later than they may. Takes off the beginnings that count no more: one does to the last
-- millisecond of its window, as times are rounded down.
local function rate_frees_at(base, queue, tool, job, before, now)
  local count, window = rate_of(job)
  if not count then
    return nil
  end
  local begun = begun_of(base, queue, tool)
  if not is_a(begun, 'zset') then
    return now + window
  end
  redis.call('ZREMRANGEBYSCORE', begun, '-inf', int(now - window - 1))
  local used = redis.call('ZCARD', begun)
  local ahead = used + before - count
  if ahead < 0 then
    return nil
  end
  -- The first of those that must wait follows the oldest beginning, the next the one after that, and so on; where fewer have
  -- begun than may, those before it begin now.
  local place, rounds = ahead % count, math.floor(ahead / count)
  local oldest = place < used and redis.call('ZRANGE', begun, place, place, 'WITHSCORES')[2]
  return (tonumber(oldest) or now) + (1 + rounds) * (window + 1)
end

-- An attempt of a job begins.
local function note_begun(base, id, job, attempt, now)
  local count, window, refuses = rate_of(job)
  if count then
    local begun = begun_of(base, job.queue, job.tool)
    redis.call('ZADD', begun, int(now), id .. ':' .. attempt)
    outlive(begun, now + window)
  end
  if refuses then
    drop_member(booked_of(base, job.queue, job.tool), id)
  end
end

-- An attempt was given back before anything of it ran: it does not count.
local function forget_begun(base, id, job, attempt)
  if job.rate then
    drop_member(begun_of(base, job.queue, job.tool), id .. ':' .. attempt)
  end
end

-- A job of a tool that refuses what is beyond its rate is queued; until it begins it counts as if it had.
local function book(base, queue, tool, id, expires)
  local booked = booked_of(base, queue, tool)
  redis.call('ZADD', booked, int(expires), id)
  outlive(booked, expires)
end

-- A job ends: if it was booked and never began, it leaves room for another.
local function unbook(base, id, job)
  local _, _, refuses = rate_of(job)
  if refuses then
    drop_member(booked_of(base, job.queue, job.tool), id)
  end
end

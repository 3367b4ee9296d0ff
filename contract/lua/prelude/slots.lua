-- slots: how many jobs of a tool with a concurrency limit run at a time, and in which order the others come.

-- The place of a job among those that wait for a slot of its tool: when it was first queued, as its first entry says, in
-- thousandths of a ms.
local function place_of(entry)
  local ms, number = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms) * 1000 + math.min(tonumber(number), 999)
end

-- The jobs of a tool that wait for a slot, and those that have one. A tool is one of its queue: whoever may not use the
-- queue may not use these.
local function waiting_of(base, queue, tool)
  return base .. 'waiting:' .. queue .. ':' .. tool
end

local function running_of(base, queue, tool)
  return base .. 'running:' .. queue .. ':' .. tool
end

-- Whether jobs of a tool can be made to wait for a slot: both sets can be used.
local function can_wait(base, queue, tool)
  return is_a(waiting_of(base, queue, tool), 'zset') and is_a(base .. 'waiting:' .. queue, 'zset')
end

-- Lets a job wait for a slot of its tool, at its place. It is brought to its stream by `admit`.
local function wait_for_slot(base, queue, tool, id, place)
  redis.call('ZADD', waiting_of(base, queue, tool), int(tonumber(place)), id)
  if is_a(base .. 'waiting:' .. queue, 'zset') then
    redis.call('ZADD', base .. 'waiting:' .. queue, 0, tool)
  end
end

-- A job whose attempt was lost keeps its slot for so long after its lease, ms: until then somebody takes it over, unless
-- nobody serves its queue any more.
local LOST_SLOT_KEPT_MS = 300000

-- At most so many slots whose lease is over are checked at once.
local LAPSED_AT_ONCE = 100

-- How many slots of a tool are taken. Frees first: every slot LOST_SLOT_KEPT_MS after its lease; and, sooner, those whose
-- lease is over and whose job is gone, has ended, or names no worker. A lost job whose record still names one keeps its
-- slot for that long, unless it is taken over before.
local function taken_slots(base, queue, tool)
  local running, now = running_of(base, queue, tool), now_ms()
  redis.call('ZREMRANGEBYSCORE', running, '-inf', int(now - LOST_SLOT_KEPT_MS))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', running, '-inf', int(now), 'LIMIT', 0, LAPSED_AT_ONCE)) do
    local job = read_record(base .. 'task:' .. id, { 'status', 'worker' })
    if not job.status or TERMINAL[job.status] or not job.worker or job.worker == '' then
      redis.call('ZREM', running, id)
    end
  end
  return redis.call('ZCARD', running)
end

-- At most so many jobs that wait for a slot are checked at once.
local ADMITTED_AT_ONCE = 100

-- Puts the first jobs of a tool's waiting set on the stream of its queue, as many as slots are free, counting those that are there
-- already. Each stays in the set until it is claimed, so that later ones stay behind it. Ids whose job waits no more are
-- dropped. The entry has `slot`: if its record has expired by the time it is claimed, `claim` must know that `admit` may
-- have counted that in `expired`. Returns how many expired jobs it counted.
local function admit(base, queue, tool)
  local waiting = waiting_of(base, queue, tool)
  if not (is_a(waiting, 'zset') and is_a(running_of(base, queue, tool), 'zset')) then
    return 0
  end
  local first = redis.call('ZRANGE', waiting, 0, ADMITTED_AT_ONCE - 1)
  if #first == 0 then
    return 0
  end
  local expired = 0
  local taken = taken_slots(base, queue, tool)
  for _, id in ipairs(first) do
    local record = base .. 'task:' .. id
    local job = read_record(record, { 'status', 'queue', 'entry', 'limit', 'waits', 'created_ms' })
    if job.status ~= 'queued' or not tonumber(job.limit) or job.queue ~= queue then
      redis.call('ZREM', waiting, id)
      if redis.call('EXISTS', record) == 0 then
        count_expired(base, tool)
        expired = expired + 1
      end
    elseif taken >= tonumber(job.limit) then
      return expired
    else
      taken = taken + 1
      if job.entry == '' and is_a(base .. 'queue:' .. queue, 'stream') then
        local entry = redis.call('XADD', base .. 'queue:' .. queue, '*', 'id', id, 'tool', tool, 'slot', '1')
        redis.call('HSET', record, 'entry', entry, 'waits', still_waits('worker', job.waits, job.created_ms))
      end
    end
  end
  return expired
end

-- Frees a job's slot and admits the next one. Call it after everything else that a transition does to the job: `admit`
-- hands the slot on at once.
local function leave_slot(base, queue, tool, id)
  drop_member(running_of(base, queue, tool), id)
  admit(base, queue, tool)
end

-- slots: how many jobs of a tool may begin, and in which order the others come: as many as its concurrency limit and its rate have
-- room for, and none while the tool or its queue is paused.

-- The place of a job among those that wait for a slot of its tool: when it was first queued, as its first entry says, in
-- thousandths of a ms.
local function place_of(entry)
  local ms, number = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms) * 1000 + math.min(tonumber(number), 999)
end

-- The jobs of a tool that wait for their turn, and those that have a slot. A tool is one of its queue: whoever may not use the
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

-- Whether a job has a place among those of its tool from its first claim on; others get one when they meet a pause. A job that
-- has a place waits for its turn there whenever it is queued again.
local function has_bounds(job)
  return job.limit or job.rate
end

-- Lets a job wait for its turn, at its place. It is brought to its stream by `admit`.
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

-- Whether no job of a tool may begin: an operator paused it, or its queue. Where that cannot be read nothing is paused: the key
-- must stop nothing but what it is for.
local function is_paused(base, queue, tool)
  local found = redis.pcall('HMGET', base .. 'paused', 'queue:' .. queue, 'tool:' .. tool)
  return (found[1] or found[2]) and true or false
end

-- What there is of all that bounds a tool, now or at the time `now` of a transition.
local function use_of(base, queue, tool, now)
  return {
    base = base, queue = queue, tool = tool, now = now or now_ms(),
    paused = is_paused(base, queue, tool), taken = taken_slots(base, queue, tool),
  }
end

-- What holds up a job with so many before it ('paused', 'slot', 'rate'), and for 'rate' until about when (ms); nil if it may begin.
-- One that has its slot needs no other.
local function held_up_by(use, job, before, has_slot)
  if use.paused then
    return 'paused'
  end
  if job.limit and not has_slot and use.taken + before >= (tonumber(job.limit) or math.huge) then
    return 'slot'
  end
  local turn = job.rate and rate_frees_at(use.base, use.queue, use.tool, job, before, use.now)
  if turn then
    return 'rate', turn
  end
  return nil
end

-- At most so many jobs that wait for their turn are checked at once; of a tool without bounds so many are on the stream at most.
local ADMITTED_AT_ONCE = 100

-- Puts a job that waits for its turn on the stream of its queue, if it is not there already. The entry has `slot`: if its record
-- has expired by the time it is claimed, `claim` must know that `admit` may have counted that in `expired`.
local function bring(base, queue, tool, id, job)
  if job.entry == '' and is_a(base .. 'queue:' .. queue, 'stream') then
    local entry = redis.call('XADD', base .. 'queue:' .. queue, '*', 'id', id, 'tool', tool, 'slot', '1')
    redis.call('HSET', base .. 'task:' .. id, 'entry', entry, 'waits', still_waits('worker', job.waits, job.created_ms))
  end
end

-- What is read of a job that waits for its turn.
local TURN = { 'status', 'queue', 'entry', 'limit', 'rate', 'waits', 'created_ms' }

-- Has the record of the first job that stays behind say whether it is the rate that holds it up, and until when.
local function tell_what_holds_up(record, job, what, turn)
  if job.entry == '' and (what == 'rate' or string.sub(job.waits or '', 1, 5) == 'rate ') then
    local now_waits = still_waits(what, job.waits, job.created_ms, turn)
    if now_waits ~= job.waits then
      redis.call('HSET', record, 'waits', now_waits)
    end
  end
end

-- Puts the first jobs of a tool's waiting set on the stream of its queue, as many as may begin, counting those that are there
-- already. Each stays in the set until it is claimed, so that later ones stay behind it. Ids whose job waits no more are
-- dropped. Returns how many expired jobs it counted, and, if the rate holds up the next, until when (ms).
local function admit(base, queue, tool)
  local waiting = waiting_of(base, queue, tool)
  if not (is_a(waiting, 'zset') and is_a(running_of(base, queue, tool), 'zset')) then
    return 0
  end
  local first = redis.call('ZRANGE', waiting, 0, ADMITTED_AT_ONCE - 1)
  if #first == 0 then
    return 0
  end
  local expired, before = 0, 0
  local use = use_of(base, queue, tool)
  for _, id in ipairs(first) do
    local record = base .. 'task:' .. id
    local job = read_record(record, TURN)
    if job.status ~= 'queued' or job.queue ~= queue then
      redis.call('ZREM', waiting, id)
      if redis.call('EXISTS', record) == 0 then
        count_expired(base, tool)
        expired = expired + 1
      end
    else
      local what, turn = held_up_by(use, job, before)
      if what then
        tell_what_holds_up(record, job, what, turn)
        return expired, turn
      end
      before = before + 1
      bring(base, queue, tool, id, job)
    end
  end
  return expired
end

-- Whether a job whose entry is claimed must wait for its turn first. Gives its place, and what holds it up ('paused', 'slot',
-- 'rate'; nil if it may begin), whether it is in the waiting set, and until about when its rate holds it up. A job without bounds
-- that nobody holds up has no place; one that comes as others have waited through a pause waits behind them.
local function ask_for_turn(base, id, job, entry, now)
  local queue, tool = job.queue, job.tool
  local running, waiting = running_of(base, queue, tool), waiting_of(base, queue, tool)
  if not has_bounds(job) and not is_paused(base, queue, tool) then
    local others = redis.pcall('ZCARD', waiting)
    if others == 0 or type(others) == 'table' then
      return nil, nil, false
    end
  end
  need('zset', running, waiting, base .. 'waiting:' .. queue)
  if job.rate then
    need('zset', begun_of(base, queue, tool))
  end
  local place = int(tonumber(job.place) or place_of(entry))
  local rank = redis.call('ZRANK', waiting, id)
  local before = rank or redis.call('ZCOUNT', waiting, '-inf', '(' .. place)
  local use = use_of(base, queue, tool, now)
  -- The slot of its last attempt is still its own.
  local has_slot = redis.call('ZSCORE', running, id)
  local held_up, turn = held_up_by(use, job, before, has_slot)
  if not held_up and not has_bounds(job) and not has_slot and before >= (rank and ADMITTED_AT_ONCE or 1) then
    held_up = 'paused'
  end
  return place, held_up, rank, turn
end

-- A job begins whose turn it is, with this attempt: it leaves the waiting set and has a slot for `lease`. In the place of one
-- without a limit the next of its tool comes to the stream, if nothing holds that up.
local function take_turn(base, id, job, was_waiting, attempt, now, lease)
  local queue, tool = job.queue, job.tool
  local waiting = waiting_of(base, queue, tool)
  if was_waiting then
    redis.call('ZREM', waiting, id)
  end
  if job.limit then
    redis.call('ZADD', running_of(base, queue, tool), int(now + lease), id)
  end
  note_begun(base, id, job, attempt, now)
  if was_waiting and not job.limit then
    local last = ADMITTED_AT_ONCE - 1
    local next = redis.call('ZRANGE', waiting, last, last)[1]
    local its = next and read_record(base .. 'task:' .. next, TURN)
    local is_next = its and its.status == 'queued' and its.queue == queue
    if is_next and not held_up_by(use_of(base, queue, tool), its, last) then
      bring(base, queue, tool, next, its)
    end
  end
end

-- Frees the slot of a job that has a place, if it has one, and admits the next. Call it after everything else that a transition does
-- to the job: `admit` hands the slot on at once.
local function leave_slot(base, queue, tool, id)
  drop_member(running_of(base, queue, tool), id)
  admit(base, queue, tool)
end

-- A job ends: it waits for no turn, and has no slot.
local function leave_tool(base, id, job)
  if not job.place then
    return
  end
  local waited = drop_member(waiting_of(base, job.queue, job.tool), id)
  local ran = drop_member(running_of(base, job.queue, job.tool), id)
  if waited or ran then
    admit(base, job.queue, job.tool)
  end
end

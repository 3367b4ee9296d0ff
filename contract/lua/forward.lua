-- forward: of one queue, queued and due -> queued on its stream, or waiting for its turn at its place. Moves a bounded batch.
-- Also gives out slots of its tools that nobody freed, since their worker died or their job expired, what rates of its tools have
-- room for, and what owners have room for to those who wait in their lines.
-- Whoever keeps house calls it while the queue has one of the keys `due`, `waiting` and `lines`: what else there is to look at goes
-- into Store::queues_that_wait as well.
-- KEYS  due (of the queue)
-- ARGV  base · queue name · limit (integer > 0)
-- Replies
--   OK, moved, call_again_ms, expired, key …   so many due jobs were moved; when to call again, for the next one that is due, for
--                            slots and lines, or when a rate has room, or -1 if nothing waits; how many jobs were found that expired while they waited, which
--                            are counted in expired; keys that were found to have the wrong type
-- Effects  ids whose record expired or is none, that are on a stream already, or whose job is of another queue, are dropped from
--          due
local LOOK_FOR_SLOTS_MS = 1000
-- Of a rate that has room more often than that, several come at once.
local LOOK_FOR_RATES_MS = 20

local due = KEYS[1]
local base, queue, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local now = now_ms()
local moved, expired, others, met = 0, 0, {}, {}

-- As is_a, and notes what it is not.
local function usable(key, kind)
  if is_a(key, kind) then
    return true
  end
  if not met[key] then
    met[key] = true
    others[#others + 1] = key
  end
  return false
end

local next
if usable(due, 'zset') then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', 0, limit)) do
    local record = base .. 'task:' .. id
    local job = read_record(record, {
      'status', 'queue', 'tool', 'entry', 'place', 'waits', 'created_ms', 'ttl_ms', 'owner', 'share',
    })
    local comes = job.status == 'queued' and job.entry == '' and job.queue == queue
    if comes and not usable(base .. 'queue:' .. queue, 'stream') then
      redis.call('ZADD', due, int(now + LOOK_AT_QUEUE_MS), id)
    else
      redis.call('ZREM', due, id)
      if comes then
        local entry, what = enqueue(base, queue, id, job.tool, job.place, nil, job)
        redis.call('HSET', record, 'entry', entry, 'waits', still_waits(what, job.waits, job.created_ms))
        moved = moved + 1
      elseif not job.status and redis.call('EXISTS', record) == 0 then
        count_expired(base, '')
        expired = expired + 1
      end
    end
  end
  next = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2])
end
local waiting = base .. 'waiting:' .. queue
for _, tool in ipairs(usable(waiting, 'zset') and redis.call('ZRANGE', waiting, 0, -1) or {}) do
  usable(waiting_of(base, queue, tool), 'zset')
  usable(running_of(base, queue, tool), 'zset')
  usable(begun_of(base, queue, tool), 'zset')
  local gone, turn = admit(base, queue, tool)
  expired = expired + gone
  if redis.call('EXISTS', waiting_of(base, queue, tool)) == 0 then
    redis.call('ZREM', waiting, tool)
  else
    local look = math.min(now + LOOK_FOR_SLOTS_MS, math.max(turn or math.huge, now + LOOK_FOR_RATES_MS))
    next = math.min(next or math.huge, gone == ADMITTED_AT_ONCE and now or look)
  end
end
local expired_in_lines, are_lines = mend_lines(base, queue, now, usable)
expired = expired + expired_in_lines
if are_lines then
  next = math.min(next or math.huge, now + LOOK_FOR_SLOTS_MS)
end
return { 'OK', moved, next and int(next) or -1, expired, unpack(others) }

-- claim: starts an attempt. queued -> working; also working or input_required -> working if the lease of the last attempt
-- has run out. Instead: -> failed at the crash limit; -> queued, waiting for its turn, if the tool is at its
-- limit or its rate, or paused.
-- KEYS  record, queue
-- ARGV  base · id · entry · worker · lease_ms (integer > 0) · delivery (the number of this delivery to the worker; a repeated
--       call sends the same)
-- Replies
--   OK, attempt, field, value …   the caller has this attempt. The fields of the record follow. Large arguments are left out;
--                                 instead a pair follows that is not in the record: arguments_bytes, and how large they
--                                 are. If the job was taken over from a silent worker, one more does: taken_from, and
--                                 that worker. A repeated call gets the same attempt again
--   GONE [, tool, begun]          the record expired. If the entry still existed it is dropped, and tool is what it named.
--                                 begun is 1 if an attempt may have begun: the entry was delivered before, or the group is
--                                 gone. With 0 the job is counted in expired, unless it was counted before
--   STALE                         another entry stands for the job; this one is dropped
--   DONE                          the job is terminal; the entry is dropped
--   UNREADABLE, field, value      a field that must be a number is not (its name and value), or the record is not a hash ('type'
--                                 and its type); nothing changes
--   POISON, crashes, tool, attempt, worker
--                                 the job reached its crash limit: failed, dead letter, entry dropped. tool, attempt and
--                                 worker are those of the lost attempt
--   BUSY, until_ms                a worker holds a lease until then. It may be the caller itself, by an earlier delivery, whose
--                                 handler may have begun. The entry stays pending for that worker
--   WAITS [, crashes, tool, attempt, worker]
--                                 its tool or its queue is paused, its tool is at its concurrency limit or its rate, or others that were
--                                 queued first wait for their turn; the
--                                 entry is dropped, and it gets another when its turn comes. With crashes, tool, attempt and
--                                 worker of the lost attempt if the job was taken over from a silent worker
-- Effects  expired (GONE); running:<queue>:<tool>, waiting:<queue>:<tool> and waiting:<queue> for tools with a limit, a rate or a pause;
--          begun:<queue>:<tool> and booked:<queue>:<tool> for those with a rate; crashes + 1
--          if the last attempt was lost; the next job of its owner's line comes to the stream. If the job then waits for its turn, its updated_ms is when the lost lease ran out. If the
--          job must wait for its turn, rings the front ends that watch it
local record, queue = KEYS[1], KEYS[2]
local base, id, entry, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease, delivery = tonumber(ARGV[5]), ARGV[6]

local function ok_reply(attempt)
  local reply = { 'OK', attempt }
  local bytes = redis.call('HSTRLEN', record, 'arguments')
  for _, name in ipairs(redis.call('HKEYS', record)) do
    if name ~= 'arguments' or bytes <= LARGE then
      reply[#reply + 1] = name
      reply[#reply + 1] = redis.call('HGET', record, name)
    end
  end
  if bytes > LARGE then
    reply[#reply + 1] = 'arguments_bytes'
    reply[#reply + 1] = int(bytes)
  end
  return reply
end

if not is_a(record, 'hash') then
  return { 'UNREADABLE', 'type', redis.call('TYPE', record).ok }
end
local job = read(record, CLOSING)
if not job.status then
  local found = is_a(queue, 'stream') and redis.call('XRANGE', queue, entry, entry)[1]
  if not found then
    return { 'GONE' }
  end
  -- Without the group it is unknown whether the entry was delivered before: assume that it was.
  local pending = redis.pcall('XPENDING', queue, GROUP, entry, entry, 1)[1]
  local begun = not pending or tonumber(pending[4]) ~= 1
  drop_entry(queue, entry)
  local named = {}
  for i = 1, #found[2] - 1, 2 do
    named[found[2][i]] = found[2][i + 1]
  end
  local tool = named.tool or ''
  local waiting = waiting_of(base, string.match(queue, ':queue:(.*)$') or '', tool)
  -- An entry with `slot` was made by `admit`, and its job stays in the waiting set until it is claimed. If the job is no
  -- longer there, `admit` found it expired and counted it.
  local counted = named.slot and not (is_a(waiting, 'zset') and redis.call('ZREM', waiting, id) == 1)
  if not begun and not counted then
    count_expired(base, tool)
  end
  return { 'GONE', tool, begun and '1' or '0' }
end
if TERMINAL[job.status] then
  drop_entry(queue, entry)
  return { 'DONE' }
end
if job.entry ~= entry or entry == '' then
  drop_entry(queue, entry)
  return { 'STALE' }
end

for _, name in ipairs({ 'attempt', 'crashes', 'max_crashes', 'created_ms', 'ttl_ms' }) do
  if not tonumber(job[name]) then
    return { 'UNREADABLE', name, job[name] or '' }
  end
end

local now = now_ms()
local crashes = tonumber(job.crashes)
-- When the previous attempt was lost, if it was.
local lost_ms
if job.worker and job.worker ~= '' then
  local held_until = tonumber(job.lease_ms) or 0
  if held_until > now and job.worker == worker and redis.call('HGET', record, 'claim') == delivery then
    -- The reply to the call before was lost: this is the same call again.
    return ok_reply(job.attempt)
  end
  if held_until > now then
    -- Give the entry back to the worker that holds the lease. Set its idle time so that it can be reclaimed the moment the
    -- lease ends.
    local idle = math.max(0, lease - (held_until - now))
    redis.pcall('XCLAIM', queue, GROUP, job.worker, 0, entry, 'IDLE', int(idle), 'JUSTID')
    return { 'BUSY', job.lease_ms }
  end
  crashes = crashes + 1
  lost_ms = held_until
  if crashes >= tonumber(job.max_crashes) then
    fail_at_crash_limit(base, record, id, job, crashes)
    return { 'POISON', int(crashes), job.tool, job.attempt, job.worker }
  end
end

local fields = {}
local function set(...)
  for _, part in ipairs({ ... }) do
    fields[#fields + 1] = part
  end
end

local place, held_up, was_waiting, turn = ask_for_turn(base, id, job, entry, now)
if place then
  set('place', place)
end
if held_up then
  drop_entry(queue, entry)
  local before = redis.call('HGET', record, 'waits')
  set('waits', lost_ms and waits(held_up, lost_ms, 'lost', nil, turn) or still_waits(held_up, before, job.created_ms, turn))
  if lost_ms then
    set('updated_ms', int(lost_ms))
  end
  redis.call('HSET', record, 'status', 'queued', 'entry', '', 'worker', '', 'crashes', int(crashes), unpack(fields))
  if not was_waiting then
    wait_for_slot(base, job.queue, job.tool, id, place)
  end
  if lost_ms and share_of(job) then
    note_ready(base, job.queue, job.tool, job.owner, id, job)
  end
  -- Jobs ahead of it may have expired: `admit` drops them and brings whoever is next to the stream.
  leave_slot(base, job.queue, job.tool, id)
  ring_waiters(base, id, job.waiters)
  if lost_ms then
    return { 'WAITS', int(crashes), job.tool, job.attempt, job.worker }
  end
  return { 'WAITS' }
end
local attempt = int(tonumber(job.attempt) + 1)
if place then
  take_turn(base, id, job, was_waiting, attempt, now, lease)
end
if lost_ms then
  -- If this worker gives the job back unrun, `release` takes from here since when it has waited: since the lost lease ran
  -- out.
  set('waits', waits('worker', lost_ms, 'lost'))
end

redis.call('HSET', record, 'status', 'working', 'attempt', attempt, 'crashes', int(crashes), 'worker', worker,
  'claim', delivery, 'started_ms', int(now), 'lease_ms', int(now + lease), 'updated_ms', int(now), unpack(fields))
if attempt ~= '1' then
  redis.call('HDEL', record, 'progress', 'total', 'message')
end
leave_ready(base, id, job)
local reply = ok_reply(attempt)
if lost_ms then
  reply[#reply + 1] = 'taken_from'
  reply[#reply + 1] = job.worker
end
return reply

-- claim: queued -> working, or working or input_required -> working when the lease of the attempt before has run out.
-- Starts an attempt.
-- KEYS  record, queue
-- ARGV  base · id · entry · worker · lease_ms (integer > 0) · claim (which of the worker's claims this is; a repeated call has
--       the same)
-- Replies
--   OK, attempt, field, value …   the attempt is the caller's; the whole record follows, and if it was taken over from a
--                                 worker that fell silent, taken_from, that worker, which is in no record. Also for this
--                                 very claim made twice, which starts no other attempt
--   GONE [, tool, begun]          the record expired; the entry, if it was there still, is dropped. The tool that it names;
--                                 begun is 1 if it was delivered before, so that an attempt may have begun, else 0, and the
--                                 job is counted in expired
--   STALE                         another entry stands for the job; this one is dropped
--   DONE                          the job is terminal; the entry is dropped
--   UNREADABLE, field, value      a number of the record is none, or the record is no hash (type, what it is); nothing changes
--   POISON, crashes, tool, attempt, worker
--                                 the job reached its crash limit: failed, dead letter, entry dropped. Which attempt was
--                                 the last, and whose
--   BUSY, until_ms                someone holds a lease until then, if only the caller by an earlier claim: a handler may
--                                 have begun that attempt. The entry stays, pending for the holder
--   WAITS [, crashes, tool, attempt, worker]
--                                 its tool is at its concurrency limit, or others that were queued first wait for a slot; the
--                                 entry is dropped, and it gets another when its turn comes. What follows is there if it was
--                                 taken over from a worker that fell silent, as with POISON
-- Effects  expired (GONE); running:<tool>, waiting:<tool> and waiting for tools with a limit; crashes + 1 when the attempt before was never
--          given back. A job that waits for a slot since its attempt was lost changed when the lease ran out. Rings the
--          replicas that wait when it is to wait for a slot
local record, queue = KEYS[1], KEYS[2]
local base, id, entry, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease, claim = tonumber(ARGV[5]), ARGV[6]

local function started(attempt)
  local reply = redis.call('HGETALL', record)
  table.insert(reply, 1, attempt)
  table.insert(reply, 1, 'OK')
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
  -- Without a group nobody knows.
  local pending = redis.pcall('XPENDING', queue, GROUP, entry, entry, 1)[1]
  local begun = not pending or tonumber(pending[4]) ~= 1
  drop_entry(queue, entry)
  local named = {}
  for i = 1, #found[2] - 1, 2 do
    named[found[2][i]] = found[2][i + 1]
  end
  local tool = named.tool or ''
  local waiting = base .. 'waiting:' .. tool
  -- One that was brought back for a slot waits for it until it is claimed; if it does not, `admit` has counted it.
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
if job.entry ~= entry then
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
-- When the attempt before was lost, if it was.
local lost
if job.worker and job.worker ~= '' then
  local held_until = tonumber(job.lease_ms) or 0
  if held_until > now and job.worker == worker and redis.call('HGET', record, 'claim') == claim then
    -- The reply to this very claim was lost.
    return started(job.attempt)
  end
  if held_until > now then
    -- Whoever reclaimed the entry gives it back, idle so long that it can be reclaimed the moment the lease ends.
    local idle = math.max(0, lease - (held_until - now))
    redis.pcall('XCLAIM', queue, GROUP, job.worker, 0, entry, 'IDLE', int(idle), 'JUSTID')
    return { 'BUSY', job.lease_ms }
  end
  crashes = crashes + 1
  lost = held_until
  if crashes >= tonumber(job.max_crashes) then
    local text = 'the worker died during attempt ' .. job.attempt .. '; the crash limit of ' .. job.max_crashes
      .. ' is reached (crash_limit of the tool)'
    if job.max_crashes == '1' then
      text = text .. ': it is not run again, and its work may be done in part'
    end
    bury_job(base, record, id, job, 'crash limit', job.attempt)
    close(base, record, id, job, 'failed', {
      'crashes', int(crashes), 'message', text, 'error', cjson.encode({ code = -32603, message = text }),
    })
    return { 'POISON', int(crashes), job.tool, job.attempt, job.worker }
  end
end

local fields = {}
local function set(...)
  for _, part in ipairs({ ... }) do
    fields[#fields + 1] = part
  end
end

if job.limit then
  local running, waiting = base .. 'running:' .. job.tool, base .. 'waiting:' .. job.tool
  local queued = read(record, { 'place', 'waits' })
  local place = int(tonumber(queued.place) or place_of(entry))
  set('place', place)
  local taken, waiting_already = taken_slots(base, job.tool), redis.call('ZRANK', waiting, id)
  local before = taken + (waiting_already or redis.call('ZCOUNT', waiting, '-inf', '(' .. place))
  if not redis.call('ZSCORE', running, id) and before >= tonumber(job.limit) then
    drop_entry(queue, entry)
    set('waits', lost and waits('slot', lost, 'lost') or still_waits('slot', queued.waits, job.created_ms))
    if lost then
      set('updated_ms', int(lost))
    end
    redis.call('HSET', record, 'status', 'queued', 'entry', '', 'worker', '', 'crashes', int(crashes), unpack(fields))
    if not waiting_already then
      wait_for_slot(base, job.tool, id, place)
    end
    -- Those before it may have expired.
    admit(base, job.tool)
    ring_waiters(base, id, job.waiters)
    if lost then
      return { 'WAITS', int(crashes), job.tool, job.attempt, job.worker }
    end
    return { 'WAITS' }
  end
  redis.call('ZREM', waiting, id)
  redis.call('ZADD', running, int(now + lease), id)
end
if lost then
  -- For a worker that gives the job back before anything of it ran: it has waited since then.
  set('waits', waits('worker', lost, 'lost'))
end

local attempt = int(tonumber(job.attempt) + 1)
redis.call('HSET', record, 'status', 'working', 'attempt', attempt, 'crashes', int(crashes), 'worker', worker,
  'claim', claim, 'started_ms', int(now), 'lease_ms', int(now + lease), 'updated_ms', int(now), unpack(fields))
if attempt ~= '1' then
  redis.call('HDEL', record, 'progress', 'total', 'message')
end
local reply = started(attempt)
if lost then
  reply[#reply + 1] = 'taken_from'
  reply[#reply + 1] = job.worker
end
return reply

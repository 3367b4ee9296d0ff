-- claim: queued -> working, or working or input_required -> working when the lease of the attempt before has run out.
-- Starts an attempt.
-- KEYS  record, queue
-- ARGV  base · id · entry · worker · lease_ms (integer > 0) · claim (which of the worker's claims this is; a repeated call has
--       the same)
-- Replies
--   OK, attempt, field, value …   the attempt is the caller's; the whole record follows. Also for this very claim made
--                                 twice, which starts no other attempt
--   GONE                          the record expired; the entry is dropped
--   STALE                         another entry stands for the job; this one is dropped
--   DONE                          the job is terminal; the entry is dropped
--   UNREADABLE, field, value      a number of the record is none, or the record is no hash (type, what it is); nothing changes
--   POISON, crashes               the job reached its crash limit: failed, dead letter, entry dropped
--   BUSY, until_ms                someone holds a lease until then, if only the caller by an earlier claim: a handler may
--                                 have begun that attempt. The entry stays, pending for the holder
--   WAITS                         its tool is at its concurrency limit, or others wait for a slot before it; the entry is
--                                 dropped, and it gets another when its turn comes
-- Effects  running:<tool>, waiting:<tool> and waiting for tools with a limit; crashes + 1 when the attempt before was never
--          given back
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
  drop_entry(queue, entry)
  return { 'GONE' }
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
  if crashes >= tonumber(job.max_crashes) then
    local text = 'the worker died during attempt ' .. job.attempt .. '; the crash limit of ' .. job.max_crashes
      .. ' is reached'
    if job.max_crashes == '1' then
      text = text .. ': it is not run again, and its work may be done in part'
    end
    bury_job(base, record, id, job, 'crash limit', job.attempt)
    close(base, record, id, job, 'failed', {
      'crashes', int(crashes), 'message', text, 'error', cjson.encode({ code = -32603, message = text }),
    })
    return { 'POISON', int(crashes) }
  end
end

if job.limit then
  local running, waiting = base .. 'running:' .. job.tool, base .. 'waiting:' .. job.tool
  redis.call('ZREMRANGEBYSCORE', running, '-inf', int(now))
  local place = redis.call('ZRANK', waiting, id)
  local before = redis.call('ZCARD', running) + (place or redis.call('ZCARD', waiting))
  if not redis.call('ZSCORE', running, id) and before >= tonumber(job.limit) then
    drop_entry(queue, entry)
    redis.call('HSET', record, 'status', 'queued', 'entry', '', 'worker', '', 'crashes', int(crashes))
    if not place then
      local last = redis.call('ZRANGE', waiting, -1, -1, 'WITHSCORES')
      redis.call('ZADD', waiting, (tonumber(last[2]) or 0) + 1, id)
      if is_a(base .. 'waiting', 'zset') then
        redis.call('ZADD', base .. 'waiting', 0, job.tool)
      end
    end
    -- Those before it may have expired.
    admit(base, job.tool)
    return { 'WAITS' }
  end
  redis.call('ZREM', waiting, id)
  redis.call('ZADD', running, int(now + lease), id)
end

local attempt = int(tonumber(job.attempt) + 1)
redis.call('HSET', record, 'status', 'working', 'attempt', attempt, 'crashes', int(crashes), 'worker', worker,
  'claim', claim, 'started_ms', int(now), 'lease_ms', int(now + lease), 'updated_ms', int(now))
if attempt ~= '1' then
  redis.call('HDEL', record, 'progress', 'total', 'message')
end
return started(attempt)

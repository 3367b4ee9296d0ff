-- requeue: of one queue, jobs that lost their worker: working or input_required -> queued, with a new entry at the end of the
-- stream (of a job that has a place: there, among those that wait for their turn); or, at the crash limit, -> failed. Whoever
-- reads the stream next gets them. An entry that was delivered and that nobody claimed is put back as well.
-- KEYS  queue
-- ARGV  base · queue name · after (where to begin in the list of pending entries: '-', or what the call before replied) · count
--       (pending entries to look at, integer > 0) · idle_ms (entries that something was done with so short a time ago are
--       passed over, integer >= 0) · unclaimed_ms (after which an entry that nobody claimed is put back, integer > 0)
--       · silent_ms (integer > 0) · then workers that are no longer there: what such a one has not renewed for silent_ms is lost before
--       its lease is over, but for a job that may run once
-- Replies
--   OK, after, then of each job what, id, tool, attempt, worker, crashes
--                after: where the next call goes on, '-' if all were looked at, '' if nothing at all is pending. what: QUEUED,
--                WAITS (for its turn among the jobs of its tool), POISON (at its crash limit: failed, a dead letter), UNCLAIMED (put back, and
--                nothing lost), EXPIRED (its record is gone; an attempt may have begun). attempt and worker are those that were
--                lost, crashes counts this one; '' for UNCLAIMED and EXPIRED
-- Effects  crashes + 1 of what was lost; its slot is given to the next; rings the front ends that watch it, and the worker that
--          held it, which may live. Entries that stand for no job any more are dropped. A job
--          whose record cannot be read is put back: who claims it says what is wrong
-- Raises NOGROUP when the group is lost.
local queue = KEYS[1]
local base, queue_name, after, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local idle_ms, unclaimed, silent_ms = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local is_silent = {}
for i = 8, #ARGV do
  is_silent[ARGV[i]] = true
end
-- What the ids of its jobs begin with.
local own = string.match(base, '{(%d+)}:$') .. '-'

local reply = { 'OK', '-' }
local function tell(what, id, tool, job, crashes)
  for _, word in ipairs({ what, id, tool, job and job.attempt or '', job and job.worker or '', crashes or '' }) do
    reply[#reply + 1] = word
  end
end

-- Puts the same entry back at the end. The record, if it can be read, names it.
local function put_back(record, entry, fields)
  local again = redis.call('XADD', queue, '*', unpack(fields))
  drop_entry(queue, entry)
  if record then
    redis.call('HSET', record, 'entry', again)
  end
end

local now

-- Queues a job again whose attempt is lost, or ends it.
local function lose(record, id, entry, job)
  local crashes, lost_ms = tonumber(job.crashes) + 1, math.min(now, tonumber(job.lease_ms) or now)
  if job.worker ~= '' then
    redis.call('PUBLISH', base .. 'inbox:' .. job.worker, id)
  end
  if crashes >= tonumber(job.max_crashes) then
    fail_at_crash_limit(base, record, id, job, crashes)
    return tell('POISON', id, job.tool, job, int(crashes))
  end
  drop_entry(queue, entry)
  local back, what = enqueue(base, queue_name, id, job.tool, job.place, nil, job)
  redis.call('HSET', record, 'status', 'queued', 'entry', back, 'worker', '', 'crashes', int(crashes),
    'updated_ms', int(lost_ms), 'waits', waits(what, lost_ms, 'lost'))
  ring_waiters(base, id, job.waiters)
  if job.place then
    leave_slot(base, queue_name, job.tool, id)
  end
  tell(is_in_order(what) and 'WAITS' or 'QUEUED', id, job.tool, job, int(crashes))
end

local function is_readable(job)
  for _, name in ipairs({ 'attempt', 'crashes', 'max_crashes', 'created_ms', 'ttl_ms' }) do
    if not tonumber(job[name]) then
      return false
    end
  end
  return true
end

local function look_at(entry, idle)
  local found = redis.call('XRANGE', queue, entry, entry)[1]
  if not found then
    -- It was deleted while it was pending.
    redis.call('XACK', queue, GROUP, entry)
    return
  end
  local named = {}
  for i = 1, #found[2] - 1, 2 do
    named[found[2][i]] = found[2][i + 1]
  end
  local id, tool = named.id or '', named.tool or ''
  local record = base .. 'task:' .. id
  local job = read_record(record, CLOSING)
  local is_current = job.status and not TERMINAL[job.status] and job.entry == entry
  local held = is_current and job.worker and job.worker ~= ''
  if held and is_readable(job) then
    local is_gone = is_silent[job.worker] and idle >= silent_ms and job.max_attempts ~= '1' and job.max_crashes ~= '1'
    if is_gone or (tonumber(job.lease_ms) or 0) <= now then
      lose(record, id, entry, job)
    end
  elseif idle < unclaimed then
    return
  elseif is_current then
    put_back(record, entry, found[2])
    if not held then
      tell('UNCLAIMED', id, tool)
    end
  elseif job.status then
    drop_entry(queue, entry)
  elseif string.sub(id, 1, #own) ~= own or redis.call('EXISTS', record) == 1 then
    -- Who reads it sees that it is foreign, or that its record is none.
    put_back(nil, entry, found[2])
  else
    drop_entry(queue, entry)
    tell('EXPIRED', id, tool)
  end
end

if after == '-' and #redis.call('XPENDING', queue, GROUP, '-', '+', 1) == 0 then
  return { 'OK', '' }
end
now = now_ms()
local pending = redis.call('XPENDING', queue, GROUP, 'IDLE', idle_ms, after, '+', count)
for _, of in ipairs(pending) do
  look_at(of[1], of[3])
end
if #pending == tonumber(count) then
  reply[2] = '(' .. pending[#pending][1]
end
return reply

-- records: how a job's record is read, and what an attempt may write to it.

local TERMINAL = { completed = true, failed = true, cancelled = true }

-- The fields of a record that a poll shows, never the arguments: those of VIEW_FIELDS in src/store/record.rs, which a test
-- holds against these.
local VIEW = {
  'status', 'tool', 'owner', 'plain', 'created_ms', 'updated_ms', 'ttl_ms', 'poll_ms', 'poll_max_ms', 'message',
  'is_error', 'progress', 'total', 'attempt', 'waits', 'queue', 'limit', 'rate', 'lease_ms', 'crashes',
  'max_crashes', 'task_scopes',
}

-- Arguments of more bytes are left out of replies.
local LARGE = 65536

-- The named fields of a record as a table; absent ones are false.
local function read(record, names)
  local values = redis.call('HMGET', record, unpack(names))
  local job = {}
  for i, name in ipairs(names) do
    job[name] = values[i]
  end
  return job
end

-- As `read`, but of a key that may be of another type: then every field is absent (nil, where `read` gives false).
local function read_record(record, names)
  if redis.call('TYPE', record).ok ~= 'hash' then
    return {}
  end
  return read(record, names)
end

-- Appends the named fields that exist to a reply, as name, value.
local function append_fields(reply, record, names)
  local values = redis.call('HMGET', record, unpack(names))
  for i, name in ipairs(names) do
    if values[i] then
      reply[#reply + 1] = name
      reply[#reply + 1] = values[i]
    end
  end
  return reply
end

-- Why an attempt may not write, or nil if it may. The attempt number is the fence; a job nobody holds has no writer.
local function refusal(job, attempt)
  if not job.status then
    return 'GONE'
  end
  if job.attempt ~= attempt then
    return 'STALE'
  end
  if job.status == 'cancelled' then
    return 'CANCELLED'
  end
  if TERMINAL[job.status] then
    return 'DONE'
  end
  if not job.worker or job.worker == '' then
    return 'STALE'
  end
  return nil
end

-- The hash `expired` counts, by tool, the jobs that expired while they waited to run. It goes 30 days after the last one.
local EXPIRED_KEPT_MS = 30 * 86400 * 1000

-- Counts a job whose record expired while it waited. Its tool is '' where it is not known.
local function count_expired(base, tool)
  local expired = base .. 'expired'
  local kind = redis.call('TYPE', expired).ok
  if kind == 'hash' or kind == 'none' then
    -- pcall: a foreign field that holds no number must not fail the transition.
    redis.pcall('HINCRBY', expired, (tool == '' or #tool > 64) and '-' or tool, 1)
    redis.call('PEXPIRE', expired, EXPIRED_KEPT_MS)
  end
end

-- What `waits` of a record says while its job is queued: what it waits for ('worker', 'slot' of its tool, 'rate' of its tool, the
-- end of what is 'paused', its 'turn' among its owner's jobs, 'time'), since when
-- (ms), why it is to be attempted again ('lost', 'released', 'failed', 'returned'; '-' if no attempt ended: it never was
-- attempted, or was parked in the middle of an attempt and now has its answers), when that is due (ms; '-' or absent if at
-- once), and about when its turn comes (ms), where its rate says so.
local function waits(what, since, why, due, turn)
  local times = due and (' ' .. int(due)) or (turn and ' -' or '')
  return what .. ' ' .. int(since) .. ' ' .. why .. times .. (turn and (' ' .. int(turn)) or '')
end

-- `before` (a stored `waits`) with what is waited for replaced by `what`, and its turn by `turn`; since when, why and due stay. A
-- record without `waits` has waited since `created`.
local function still_waits(what, before, created, turn)
  local since, why, due = string.match(before or '', '^%S+ (%S+) (%S+) ?(%S*)')
  return waits(what, tonumber(since) or tonumber(created) or 0, why or '-', tonumber(due), turn)
end

-- Lets a record expire at another time, and with it the idempotency key that stands for it.
local function expire_at(base, record, alias, expires)
  redis.call('PEXPIREAT', record, int(expires))
  if alias and string.sub(alias, 1, 5) == 'idem:' then
    redis.call('PEXPIREAT', base .. alias, int(expires))
  end
end

-- prelude: prepended to every transition.
--
-- Keys a transition does not name in KEYS are derived from ARGV `base`, "<prefix>:{<shard>}:": they carry the same
-- hash tag and so live in the same slot as the keys that are named.
--
-- Replies are arrays of strings and integers whose first element is a tag. Records travel as flat field, value lists.

local GROUP = 'workers'

-- Dead letters are kept for people, about this many a shard, for 30 days: older ones go when the next is buried, and all
-- of them 30 days after the last.
local DEAD_LETTERS_KEPT = 10000
local DEAD_LETTERS_KEPT_MS = 30 * 86400 * 1000

-- A letter repeats arguments and capabilities up to this size together, so that the job can be revived once its record
-- is gone.
local LETTER_BYTES = 4096

-- The fields of a record that a poll shows; never the arguments.
local VIEW = {
  'status', 'tool', 'owner', 'plain', 'created_ms', 'updated_ms', 'ttl_ms', 'poll_ms', 'poll_max_ms', 'message',
  'is_error', 'progress', 'total', 'attempt', 'waits', 'queue', 'limit', 'lease_ms',
}

local TERMINAL = { completed = true, failed = true, cancelled = true }

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- An integer as Redis stores it; Lua would print large ones with an exponent.
local function int(number)
  return string.format('%.0f', number)
end

-- How many jobs expired while they waited to run is known by tool, for 30 days after the last of them.
local EXPIRED_KEPT_MS = 30 * 86400 * 1000

-- Counts a job whose record expired while it waited. Its tool is '' where it is not known.
local function count_expired(base, tool)
  local expired = base .. 'expired'
  local kind = redis.call('TYPE', expired).ok
  if kind == 'hash' or kind == 'none' then
    -- A field that holds no number was written by something other than Taskferry.
    redis.pcall('HINCRBY', expired, (tool == '' or #tool > 64) and '-' or tool, 1)
    redis.call('PEXPIRE', expired, EXPIRED_KEPT_MS)
  end
end

-- The named fields of a record as a table; absent ones are false.
local function read(record, names)
  local values = redis.call('HMGET', record, unpack(names))
  local job = {}
  for i, name in ipairs(names) do
    job[name] = values[i]
  end
  return job
end

-- As `read`, of a key that may hold something else: then every field is absent.
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

-- An index lives as long as its longest-lived member. Does nothing if there is no such index.
local function outlive(index, expires)
  local current = redis.call('PEXPIRETIME', index)
  if current >= -1 and current < expires then
    redis.call('PEXPIREAT', index, int(expires))
  end
end

-- Whether a key can be used as a `kind`: it is one, or is not there. A key that somebody else wrote to must stop nothing
-- but what it is for: an error in the middle of a transition would leave it half done.
local function is_a(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Takes a member out of an index.
local function drop_member(index, member)
  if is_a(index, 'zset') then
    redis.call('ZREM', index, member)
  end
end

-- Acks and deletes an entry; harmless for one that is gone.
local function drop_entry(queue, entry)
  if entry and entry ~= '' and is_a(queue, 'stream') then
    redis.call('XACK', queue, GROUP, entry)
    redis.call('XDEL', queue, entry)
  end
end

-- While the queue of a due job cannot be used, `forward` tries again so often, ms.
local LOOK_AT_QUEUE_MS = 1000

-- What `waits` of a record says while its job is queued: what it waits for ('worker', 'slot' of its tool, 'time'), since when
-- (ms), why it is to be attempted again ('lost', 'released', 'failed', 'returned'; '-' if it never was attempted), and when
-- that is due (ms; absent if at once).
local function waits(what, since, why, due)
  return what .. ' ' .. int(since) .. ' ' .. why .. (due and (' ' .. int(due)) or '')
end

-- The same wait as `before` says, for something else now. A job without has waited since it was created.
local function still_waits(what, before, created)
  return what .. (string.match(before or '', '^%S+( .*)$') or (' ' .. created .. ' -'))
end

-- The place of a job among those that wait for a slot of its tool: when it was first queued, as its first entry says, in
-- thousandths of a ms.
local function place_of(entry)
  local ms, number = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms) * 1000 + math.min(tonumber(number), 999)
end

-- Whether jobs of a tool can be made to wait for a slot: both sets can be used.
local function can_wait(base, tool)
  return is_a(base .. 'waiting:' .. tool, 'zset') and is_a(base .. 'waiting', 'zset')
end

-- Lets a job wait for a slot of its tool, at its place. It is brought to its stream by `admit`.
local function wait_for_slot(base, tool, id, place)
  redis.call('ZADD', base .. 'waiting:' .. tool, int(tonumber(place)), id)
  if is_a(base .. 'waiting', 'zset') then
    redis.call('ZADD', base .. 'waiting', 0, tool)
  end
end

-- Queues a job, at `due` (ms) or now. Gives its new entry, '' while it has none, and what it waits for. It waits among the
-- due while its queue cannot be used, and comes at once while the due cannot. One with a `place` (false if its tool has no
-- limit, or if it never was attempted) waits for a slot at its place; goes before `admit`.
local function enqueue(base, queue, id, tool, place, due)
  local times = base .. 'due'
  if (due or not is_a(queue, 'stream')) and is_a(times, 'zset') then
    redis.call('ZADD', times, int(due or now_ms() + LOOK_AT_QUEUE_MS), id)
    return '', due and 'time' or 'worker'
  end
  if place and can_wait(base, tool) then
    wait_for_slot(base, tool, id, place)
    return '', 'slot'
  end
  return redis.call('XADD', queue, '*', 'id', id, 'tool', tool), 'worker'
end

-- A job whose attempt was lost keeps its slot for so long after its lease, ms: until then somebody takes it over, unless
-- nobody serves its queue any more.
local LOST_SLOT_KEPT_MS = 300000

-- At most so many slots whose lease is over are checked at once.
local LAPSED_AT_ONCE = 100

-- How many slots of a tool are taken. Frees those whose lease is over, but not of a job that waits to be taken over: it goes
-- on in its own.
local function taken_slots(base, tool)
  local running, now = base .. 'running:' .. tool, now_ms()
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

-- Brings the first jobs that wait for a slot of a tool back to their streams, as many as there are slots. They wait until
-- one is claimed: whoever comes later stays behind them. Drops ids that wait no more; gives how many of them expired. The
-- entry of one that it brings back says so (`slot`), so that `claim` does not count it again.
local function admit(base, tool)
  local waiting = base .. 'waiting:' .. tool
  if not (is_a(waiting, 'zset') and is_a(base .. 'running:' .. tool, 'zset')) then
    return 0
  end
  local first = redis.call('ZRANGE', waiting, 0, ADMITTED_AT_ONCE - 1)
  if #first == 0 then
    return 0
  end
  local expired = 0
  local taken = taken_slots(base, tool)
  for _, id in ipairs(first) do
    local record = base .. 'task:' .. id
    local job = read_record(record, { 'status', 'queue', 'entry', 'limit', 'waits', 'created_ms' })
    if job.status ~= 'queued' or not tonumber(job.limit) then
      redis.call('ZREM', waiting, id)
      if redis.call('EXISTS', record) == 0 then
        count_expired(base, tool)
        expired = expired + 1
      end
    elseif taken >= tonumber(job.limit) then
      return expired
    else
      taken = taken + 1
      if job.entry == '' and is_a(base .. 'queue:' .. job.queue, 'stream') then
        local entry = redis.call('XADD', base .. 'queue:' .. job.queue, '*', 'id', id, 'tool', tool, 'slot', '1')
        redis.call('HSET', record, 'entry', entry, 'waits', still_waits('worker', job.waits, job.created_ms))
      end
    end
  end
  return expired
end

-- Frees the slot of a job whose tool has a concurrency limit, for the next; goes after all else that is done to the job.
local function leave_slot(base, tool, id)
  drop_member(base .. 'running:' .. tool, id)
  admit(base, tool)
end

-- Rings every front end that watches this job, so that it reads the record again.
local function ring_waiters(base, id, waiters)
  for front_end in string.gmatch(waiters or '', '[^,]+') do
    redis.call('PUBLISH', base .. 'bell:' .. front_end, id)
  end
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

-- What `close` reads of a record, beside what its caller needs.
local CLOSING = {
  'status', 'attempt', 'worker', 'queue', 'tool', 'owner', 'entry', 'waiters', 'plain', 'keep_ms', 'created_ms',
  'ttl_ms', 'limit', 'crashes', 'max_crashes', 'retries', 'max_attempts', 'lease_ms', 'alias',
}

-- Lets a record expire at another time, and with it the idempotency key that stands for it.
local function expire_at(base, record, alias, expires)
  redis.call('PEXPIREAT', record, int(expires))
  if alias and string.sub(alias, 1, 5) == 'idem:' then
    redis.call('PEXPIREAT', base .. alias, int(expires))
  end
end

-- Makes the record of a plain call a task, whose caller has the id. `job` has status, owner, created_ms, ttl_ms and alias.
-- One that has ended stays for `keep` from now on at least, as if it had been a task when it ended. The token of the call's
-- progress is spent: on the session's own stream it would be told a second time.
local function promote(base, record, id, job, keep)
  local now = now_ms()
  local expires = tonumber(job.created_ms) + tonumber(job.ttl_ms)
  redis.call('HSET', record, 'plain', '0', 'keep_ms', keep)
  redis.call('HDEL', record, 'progress_token')
  if TERMINAL[job.status] and expires < now + tonumber(keep) then
    expires = now + tonumber(keep)
    redis.call('HSET', record, 'ttl_ms', int(expires - tonumber(job.created_ms)))
    expire_at(base, record, job.alias, expires)
  end
  if job.owner ~= '' then
    local owned = base .. 'owned:' .. job.owner
    if is_a(owned, 'zset') then
      redis.call('ZREMRANGEBYSCORE', owned, '-inf', int(now))
      redis.call('ZADD', owned, int(expires), id)
      outlive(owned, expires)
    end
  end
end

-- The one way into a terminal status: stores the outcome, takes the job off its stream and every index of live jobs,
-- settles how long the record stays readable, and rings whoever waits. `outcome` is a flat field, value list. Where the
-- caller gives a reply, the record as a poll shows it is appended to that.
--
-- Redis removes a key at once that is to expire in the past, and within a script time goes on: no transition may read the
-- record after this.
local function close(base, record, id, job, status, outcome, reply)
  local now = now_ms()
  local created, ttl = tonumber(job.created_ms), tonumber(job.ttl_ms)
  local keep = tonumber(job.keep_ms) or 0
  local expires = created + ttl
  if job.plain == '1' then
    -- The caller of a plain call has its answer; the record stays just long enough for a resumed stream.
    expires = math.min(expires, now + math.max(keep, 1))
  elseif keep > 0 then
    expires = math.max(expires, now + keep)
  end
  redis.call('HSET', record, 'status', status, 'updated_ms', int(now), 'ttl_ms', int(expires - created),
    'entry', '', 'worker', '', unpack(outcome))
  if reply then
    append_fields(reply, record, VIEW)
  end
  if expires ~= created + ttl then
    expire_at(base, record, job.alias, expires)
  end
  if job.alias and string.sub(job.alias, 1, 5) == 'same:' then
    -- Only a job that has not ended is shared.
    redis.call('DEL', base .. job.alias)
  end
  drop_entry(base .. 'queue:' .. job.queue, job.entry)
  if not job.entry or job.entry == '' then
    drop_member(base .. 'due', id)
  end
  if job.limit then
    drop_member(base .. 'waiting:' .. job.tool, id)
    leave_slot(base, job.tool, id)
  end
  if job.owner ~= '' then
    drop_member(base .. 'active:' .. job.owner, id)
    if job.plain ~= '1' and expires ~= created + ttl then
      local owned = base .. 'owned:' .. job.owner
      if is_a(owned, 'zset') then
        redis.call('ZADD', owned, 'XX', int(expires), id)
        outlive(owned, expires)
      end
    end
  end
  ring_waiters(base, id, job.waiters)
end

-- An attempt's outcome as `close` stores it: only the parts that there are.
local function outcome_fields(field, payload, is_error, message)
  local outcome = {}
  local function set(name, value)
    if name ~= '' and value ~= '' then
      outcome[#outcome + 1] = name
      outcome[#outcome + 1] = value
    end
  end
  set(field, payload)
  set('is_error', is_error)
  set('message', message)
  return outcome
end

-- Keeps a letter where people find it. `letter` is a flat field, value list. Where the letters cannot be kept the job ends
-- all the same, and Redis's log has the letter.
local function bury(base, letter)
  local dead = base .. 'dead'
  if not is_a(dead, 'stream') then
    redis.log(redis.LOG_WARNING, dead .. ' is no stream; a dead letter is lost: ' .. cjson.encode(letter))
    return
  end
  redis.call('XADD', dead, 'MAXLEN', '~', DEAD_LETTERS_KEPT, '*', unpack(letter))
  redis.call('XTRIM', dead, 'MINID', int(now_ms() - DEAD_LETTERS_KEPT_MS))
  redis.call('PEXPIRE', dead, DEAD_LETTERS_KEPT_MS)
end

-- Buries a job that no worker will attempt again, with what a person needs to revive it. Goes before `close`, which may
-- shorten the ttl, and after which the record may be gone.
local function bury_job(base, record, id, job, reason, attempts)
  local letter = {
    'id', id, 'tool', job.tool, 'reason', reason, 'attempts', attempts, 'queue', job.queue, 'owner', job.owner,
    'ttl_ms', job.ttl_ms,
  }
  -- Without these it is unknown, once the record is gone, whether it may be run again, under which key its work was done,
  -- and where a command of it may still be at work.
  append_fields(letter, record, { 'max_attempts', 'origin', 'worker', 'started_ms' })
  local bytes = redis.call('HSTRLEN', record, 'arguments') + redis.call('HSTRLEN', record, 'capabilities')
  if bytes <= LETTER_BYTES then
    append_fields(letter, record, { 'arguments', 'capabilities' })
  end
  bury(base, letter)
end

-- Gives a sender the right to send what there is to send for a question, for `valid` ms from now, or keeps it for the
-- one that has it. False if another has it; else true, and whether the sender had it before.
local function take_right(record, job, key, sender, valid)
  local now = now_ms()
  local until_ms, holder = string.match(job['sent:' .. key] or '', '^(%d+) (.*)$')
  if holder and holder ~= sender and tonumber(until_ms) > now then
    return false
  end
  redis.call('HSET', record, 'sent:' .. key, int(now + valid) .. ' ' .. sender)
  return true, holder == sender
end

-- ends: how a job comes to a terminal status, and how a plain call becomes a task.

-- What `close` reads of a record, beside what its caller needs.
local CLOSING = {
  'status', 'attempt', 'worker', 'queue', 'tool', 'owner', 'entry', 'waiters', 'plain', 'keep_ms', 'created_ms',
  'ttl_ms', 'limit', 'crashes', 'max_crashes', 'retries', 'max_attempts', 'lease_ms', 'alias', 'place', 'share',
  'outside', 'rate',
}

-- An attempt's outcome as `close` stores it: only the parts that there are. Its size lets a reader choose how to fetch it.
local function outcome_fields(field, payload, is_error, message)
  local outcome = {}
  local function set(name, value)
    if name ~= '' and value ~= '' then
      outcome[#outcome + 1] = name
      outcome[#outcome + 1] = value
    end
  end
  set(field, payload)
  if field ~= '' and payload ~= '' then
    set('outcome_bytes', int(#payload))
  end
  set('is_error', is_error)
  set('message', message)
  return outcome
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
    drop_member(base .. 'due:' .. job.queue, id)
  end
  unbook(base, id, job)
  leave_tool(base, id, job)
  local was_held = job.worker and job.worker ~= ''
  end_outside(base, id, job, was_held, now)
  if share_of(job) and not was_held then
    leave_line(base, job.queue, job.tool, job.owner, id)
    leave_ready(base, id, job)
  end
  if job.owner ~= '' then
    drop_member(base .. 'active:' .. job.owner, id)
    local size = 0
    for i = 2, #outcome, 2 do
      size = size + #outcome[i]
    end
    store_more(base, job.owner, id, size, expires)
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

-- Makes the record of a plain call a task, whose caller has the id. `job` has status, owner, created_ms, ttl_ms and alias.
-- One that has ended stays for `keep` from now on at least, as if it had been a task when it ended. The token of the call's
-- progress is spent: on the session's own stream it would be sent a second time. The record as a poll shows it is appended to
-- `reply`: afterwards it may be gone, as after `close`.
local function promote(base, record, id, job, keep, reply)
  local now = now_ms()
  local expires = tonumber(job.created_ms) + tonumber(job.ttl_ms)
  redis.call('HSET', record, 'plain', '0', 'keep_ms', keep)
  redis.call('HDEL', record, 'progress_token')
  local lives_longer = TERMINAL[job.status] and expires < now + tonumber(keep)
  if lives_longer then
    expires = now + tonumber(keep)
    redis.call('HSET', record, 'ttl_ms', int(expires - tonumber(job.created_ms)))
  end
  append_fields(reply, record, VIEW)
  if lives_longer then
    expire_at(base, record, job.alias, expires)
  end
  if job.owner ~= '' then
    store_more(base, job.owner, id, 0, expires)
    local owned = base .. 'owned:' .. job.owner
    if is_a(owned, 'zset') then
      drop_expired(owned, now)
      redis.call('ZADD', owned, int(expires), id)
      outlive(owned, expires)
    end
  end
end

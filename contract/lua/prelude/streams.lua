-- streams: a job's entry on the stream of its queue, and who is rung when the job changes.

local GROUP = 'workers'

-- Acks and deletes an entry; harmless for one that is gone.
local function drop_entry(queue, entry)
  if entry and entry ~= '' and is_a(queue, 'stream') then
    redis.call('XACK', queue, GROUP, entry)
    redis.call('XDEL', queue, entry)
  end
end

-- While the queue of a due job cannot be used, `forward` tries again so often, ms.
local LOOK_AT_QUEUE_MS = 1000

-- Queues a job on the queue of this name, at `due` (ms) or now. Gives its new entry, '' while it has none, and what it waits for. It waits among the
-- due while its queue cannot be used, and comes at once while the due cannot. Where its owner has its share of ready jobs, it waits
-- in the line, before all that were queued after it: `job` has owner, share, created_ms and ttl_ms. One with a `place` (false if
-- its tool has no limit, or if it never was claimed) waits for its turn at its place; goes before `admit`.
local function enqueue(base, queue, id, tool, place, due, job)
  local stream, times = base .. 'queue:' .. queue, base .. 'due:' .. queue
  local is_stream = is_a(stream, 'stream')
  if (due or not is_stream) and is_a(times, 'zset') then
    redis.call('ZADD', times, int(due or now_ms() + LOOK_AT_QUEUE_MS), id)
    return '', due and 'time' or 'worker'
  end
  local share = is_stream and share_of(job)
  if share then
    if not has_turn(base, queue, tool, job.owner, share) then
      wait_in_line(base, queue, tool, job.owner, id, (tonumber(job.created_ms) or 0) * 1000)
      return '', 'turn'
    end
    note_ready(base, queue, tool, job.owner, id, job)
  end
  return make_ready(base, queue, id, tool, place)
end

-- Rings every front end that watches this job, so that it reads the record again.
local function ring_waiters(base, id, waiters)
  for front_end in string.gmatch(waiters or '', '[^,]+') do
    redis.call('PUBLISH', base .. 'bell:' .. front_end, id)
  end
end

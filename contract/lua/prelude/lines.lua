-- lines: callers who can be told apart take turns. Of one owner, of one tool, so many jobs (`share` of the record) are ready at a
-- time: on the stream and not claimed yet, or waiting for a slot of their tool. The others wait in a line of the owner's own, and
-- each time a ready one is claimed or ends, the first of the line becomes ready.
--
-- By queue, tool and owner: `ready`, ids by when their records expire, and `line`, ids by place, which is when a job was queued
-- first, thousandths of a ms. By queue: `lines`, the name of each line by when it was last looked after (ms), and `backlog`, all
-- ids in lines by place.

local function of_line(base, what, queue, tool, owner)
  return base .. what .. ':' .. queue .. ':' .. tool .. ':' .. owner
end

-- How many jobs like this its owner may have ready; nil if nobody counts them.
local function share_of(job)
  local share = tonumber(job.share or '')
  if share and share >= 1 and job.owner and job.owner ~= '' then
    return share
  end
end

-- Counts a job among the ready ones of its owner. `job` has created_ms and ttl_ms.
local function note_ready(base, queue, tool, owner, id, job)
  local ready = of_line(base, 'ready', queue, tool, owner)
  local expires = (tonumber(job.created_ms) or 0) + (tonumber(job.ttl_ms) or 0)
  if is_a(ready, 'zset') then
    redis.call('ZADD', ready, int(expires), id)
    outlive(ready, expires)
  end
end

-- Puts a job where a worker finds it, or where it waits for its turn at its place. Gives its entry, '' while it has none, and what
-- it waits for. `admit` comes after this.
local function make_ready(base, queue, id, tool, place)
  if place and can_wait(base, queue, tool) then
    wait_for_slot(base, queue, tool, id, place)
    local job = read_record(base .. 'task:' .. id, { 'limit', 'rate' })
    return '', (job.rate and not job.limit) and 'rate' or 'slot'
  end
  return redis.call('XADD', base .. 'queue:' .. queue, '*', 'id', id, 'tool', tool), 'worker'
end

-- Whether that is its turn among the jobs of its tool.
local function is_in_order(what)
  return what == 'slot' or what == 'rate'
end

-- Whether the keys of a line can be used. Where one cannot, nobody waits in it.
local function has_lines(base, queue, tool, owner)
  return is_a(of_line(base, 'ready', queue, tool, owner), 'zset') and is_a(of_line(base, 'line', queue, tool, owner), 'zset')
    and is_a(base .. 'lines:' .. queue, 'zset') and is_a(base .. 'backlog:' .. queue, 'zset')
end

-- Whether an owner has fewer jobs ready than its share, and none in its line.
local function has_room(base, queue, tool, owner, share)
  return redis.call('EXISTS', of_line(base, 'line', queue, tool, owner)) == 0
    and redis.call('ZCARD', of_line(base, 'ready', queue, tool, owner)) < share
end

local function leave_line(base, queue, tool, owner, id)
  local line = of_line(base, 'line', queue, tool, owner)
  drop_member(line, id)
  drop_member(base .. 'backlog:' .. queue, id)
  if redis.call('EXISTS', line) == 0 then
    drop_member(base .. 'lines:' .. queue, tool .. ':' .. owner)
  end
end

-- At most so many jobs of a line are looked at in one call.
local BROUGHT_AT_ONCE = 100

-- Makes the first jobs of a line ready, as many as the share has room for. Ids whose job waits no more are dropped. Gives how many
-- expired jobs it counted.
local function call_up(base, queue, tool, owner, share)
  if not has_lines(base, queue, tool, owner) then
    return 0
  end
  local ready, line = of_line(base, 'ready', queue, tool, owner), of_line(base, 'line', queue, tool, owner)
  drop_expired(ready, now_ms())
  local count, expired, for_slot = redis.call('ZCARD', ready), 0, false
  for _ = 1, is_a(base .. 'queue:' .. queue, 'stream') and BROUGHT_AT_ONCE or 0 do
    local id = count < share and redis.call('ZRANGE', line, 0, 0)[1]
    if not id then
      break
    end
    leave_line(base, queue, tool, owner, id)
    local record = base .. 'task:' .. id
    local job = read_record(record, {
      'status', 'queue', 'tool', 'owner', 'entry', 'place', 'waits', 'created_ms', 'ttl_ms',
    })
    local waits = job.status == 'queued' and job.entry == ''
    if waits and job.queue == queue and job.tool == tool and job.owner == owner then
      local entry, what = make_ready(base, queue, id, tool, job.place)
      redis.call('HSET', record, 'entry', entry, 'waits', still_waits(what, job.waits, job.created_ms))
      note_ready(base, queue, tool, owner, id, job)
      count, for_slot = count + 1, for_slot or is_in_order(what)
    elseif redis.call('EXISTS', record) == 0 then
      count_expired(base, tool)
      expired = expired + 1
    end
  end
  if for_slot then
    expired = expired + admit(base, queue, tool)
  end
  return expired
end

-- Whether one more job of this owner may be ready; else it must wait in the line. First gives out the room that there is.
local function has_turn(base, queue, tool, owner, share)
  if not has_lines(base, queue, tool, owner) then
    return true
  end
  call_up(base, queue, tool, owner, share)
  return has_room(base, queue, tool, owner, share)
end

-- As `has_turn`, for an owner who has so many live jobs. Most have fewer than their share, and then nothing needs to be counted.
local function may_go(base, queue, tool, owner, share, live)
  if live < share and redis.call('EXISTS', of_line(base, 'line', queue, tool, owner)) == 0 then
    return true
  end
  return has_turn(base, queue, tool, owner, share)
end

-- How many jobs wait in the lines of a queue.
local function in_lines(base, queue)
  local count = redis.pcall('ZCARD', base .. 'backlog:' .. queue)
  return tonumber(count) or 0
end

-- Lets a job wait in its owner's line, at this place; without one, behind all others. Goes after `has_turn`.
local function wait_in_line(base, queue, tool, owner, id, place)
  local line = of_line(base, 'line', queue, tool, owner)
  if not place then
    local time = redis.call('TIME')
    local last = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')[2]
    place = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), (tonumber(last) or 0) + 1)
  end
  redis.call('ZADD', line, int(place), id)
  redis.call('ZADD', base .. 'backlog:' .. queue, int(place), id)
  redis.call('ZADD', base .. 'lines:' .. queue, 'NX', 0, tool .. ':' .. owner)
end

-- A job that was ready is not any more: it was claimed, or has ended. Brings the next of its owner. `job` has queue, tool, owner
-- and share. Goes after all else that a transition does to the job.
local function leave_ready(base, id, job)
  if not share_of(job) then
    return
  end
  local ready = of_line(base, 'ready', job.queue, job.tool, job.owner)
  if is_a(ready, 'zset') and redis.call('ZREM', ready, id) == 1
    and redis.call('EXISTS', of_line(base, 'line', job.queue, job.tool, job.owner)) == 1 then
    call_up(base, job.queue, job.tool, job.owner, share_of(job))
  end
end

-- So many lines are looked after at once, those first that were not for the longest time.
local LINES_AT_ONCE = 20

-- Looks after lines of a queue whose owner has room that nobody gave out: its ready jobs expired, or a worker of an older version
-- claimed them. `usable` says whether a key has a type, and notes it if not. Gives how many expired jobs it counted, and whether
-- there are lines.
local function mend_lines(base, queue, now, usable)
  local lines, expired = base .. 'lines:' .. queue, 0
  -- Mostly there is none: one command finds that, and of which type the key is only where it fails.
  local names = redis.pcall('ZRANGE', lines, 0, LINES_AT_ONCE - 1)
  if names.err then
    if usable(lines, 'zset') then
      error(names)
    end
    return 0, false
  end
  for _, name in ipairs(names) do
    local tool, owner = string.match(name, '^([^:]*):(.*)$')
    tool, owner = tool or '', owner or ''
    local ready, line = of_line(base, 'ready', queue, tool, owner), of_line(base, 'line', queue, tool, owner)
    if redis.call('EXISTS', line) == 0 then
      redis.call('ZREM', lines, name)
    elseif usable(ready, 'zset') and usable(line, 'zset') and usable(base .. 'backlog:' .. queue, 'zset') then
      for _, id in ipairs(redis.call('ZRANGE', ready, 0, BROUGHT_AT_ONCE - 1)) do
        if read_record(base .. 'task:' .. id, { 'status' }).status ~= 'queued' then
          redis.call('ZREM', ready, id)
        end
      end
      local first = redis.call('ZRANGE', line, 0, 0)[1]
      local share = share_of(read_record(base .. 'task:' .. first, { 'share', 'owner' }))
      expired = expired + call_up(base, queue, tool, owner, share or 1)
      redis.call('ZADD', lines, 'XX', int(now), name)
    end
  end
  return expired, #names > 0
end

-- submit: nothing -> queued (on its stream, or due if it is not to run yet), or -> input_required and held by nobody (parked) when the caller must be asked first. The
-- record, its expiry and its stream entry appear together or not at all. A call whose alias stands for a job already joins
-- that job instead.
-- KEYS  record, queue
-- ARGV  base · id · tool · queue name · owner ('' when callers cannot be told apart)
--       · alias ('' none; 'idem:…', an idempotency key; 'same:…', what makes calls identical)
--       · call (a digest of the one call that an idempotency key may be used for; '' with 'same:…')
--       · plain ('1' for a plain call) · ttl_ms (integer > 0) · queue_cap (jobs, 0 none) · owner_cap (live jobs, 0 none)
--       · owner_bytes (what its records may take, 0 none)
--       · parked ('1': no entry yet; the last answer queues the job)
--       · then field, value … of the record (arguments, limits, capabilities, questions, answers; not_before_ms, if the job is
--       not to run before then; share, if only so many jobs of the owner, of the tool, are to be ready at a time; rate, if only so
--       many attempts of the tool's jobs may begin in a time)
-- Replies
--   OK, created_ms            stored; also for a repeated submit of the same id, which changes nothing
--   JOINED, id, field, value …   the call joins this job. An idem: alias is joined as long as the record exists, unless the
--                             job is a cancelled plain call; a same: alias only until the job ends. Nothing is queued;
--                             follows the record as a poll shows it
--   OTHER_CALL                the idempotency key stands for a job of another call; nothing stored
--   LATE, expires_ms          not_before_ms is not before the record expires; nothing stored
--   QUEUE_FULL, length        the stream, the jobs that wait for a slot of this tool, and those in the lines of owners are queue_cap, or, for
--                             a job that is to wait for its time, the due; nothing stored
--   LIMIT, live               the owner has owner_cap live jobs; nothing stored
--   BYTES, stored             the owner's records take so much that this does not fit in owner_bytes; nothing stored
--   RATE, wait_ms             the tool refuses what is beyond its rate, and all of that is used up, by attempts that began and by jobs
--                             that are to begin; about then it is not. Not of a job that is to wait for its time; nothing stored
-- Effects  a job beyond the owner's share waits in its line, without an entry; active, owned and stored get the id (owners only); the alias gets it, with the record's expiry; of a tool that refuses what is beyond its rate,
--          booked gets it, unless it is parked or waits for its time; a parked job rings the
--          front end that submits it, if that asked for it (`waiters` among the fields): no worker will ring for the
--          questions it was created with. Joining a plain job: a task call promotes it to a task; a plain call adds its id
--          to holders. A task call from another session than the job's deletes progress_token, so that no progress goes out
--          under it any more
local record, queue = KEYS[1], KEYS[2]
local base, id, tool, queue_name, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local alias, call, plain = ARGV[6], ARGV[7], ARGV[8]
local ttl, queue_cap, owner_cap = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local owner_bytes, parked = tonumber(ARGV[12]), ARGV[13] == '1'
local FIRST_FIELD = 14

-- A command that failed after a dropped connection may have run: the same id is the same submit.
local known = redis.call('HGET', record, 'created_ms')
if known then
  return { 'OK', known }
end

-- Joins this call to the job with the id `first`, whose alias was stored with the call digest `its_call`. Gives the reply,
-- or nil if that job cannot be joined any more: then the alias goes to the new job.
local function join(first, its_call)
  local its_record = base .. 'task:' .. first
  local job = read(its_record, { 'status', 'owner', 'plain', 'created_ms', 'ttl_ms', 'alias', 'holders', 'session' })
  local ended = TERMINAL[job.status]
  if not job.status or (call == '' and ended) then
    return nil
  end
  if job.plain == '1' and job.status == 'cancelled' then
    -- A plain call is cancelled when its last caller leaves. A new call with the same key is a retry, so it gets a new job.
    return nil
  end
  if call ~= its_call then
    return { 'OTHER_CALL' }
  end
  local given = {}
  for i = FIRST_FIELD, #ARGV, 2 do
    given[ARGV[i]] = ARGV[i + 1]
  end
  if plain ~= '1' and job.session and job.session ~= given.session then
    -- A token means something in its own session alone.
    redis.call('HDEL', its_record, 'progress_token')
  end
  local reply = { 'JOINED', first }
  if plain ~= '1' and job.plain == '1' then
    promote(base, its_record, first, job, given.keep_ms, reply)
    return reply
  end
  if job.plain == '1' and not ended then
    local holders = job.holders or first
    if not string.find(',' .. holders .. ',', ',' .. id .. ',', 1, true) then
      redis.call('HSET', its_record, 'holders', holders .. ',' .. id)
    end
  end
  return append_fields(reply, its_record, VIEW)
end

if alias ~= '' then
  local first, its_call = string.match(redis.call('GET', base .. alias) or '', '^(%S+) ?(%S*)$')
  local joined = first and join(first, its_call)
  if joined then
    return joined
  end
end

local active, owned = base .. 'active:' .. owner, base .. 'owned:' .. owner
need('stream', queue)
if owner ~= '' then
  need('zset', active, owned)
end
local now = now_ms()
local expires = now + ttl
local start, share, rate
for i = FIRST_FIELD, #ARGV - 1, 2 do
  if ARGV[i] == 'not_before_ms' then
    start = tonumber(ARGV[i + 1])
  elseif ARGV[i] == 'share' then
    share = share_of({ owner = owner, share = ARGV[i + 1] })
  elseif ARGV[i] == 'rate' then
    rate = ARGV[i + 1]
  end
end
if start and start >= expires then
  return { 'LATE', int(expires) }
end
if start and start <= now then
  start = nil
end
local times = base .. 'due:' .. queue_name
if start then
  need('zset', times)
end
local _, _, refuses = rate_of({ rate = rate })
refuses = refuses and not start
local booked = booked_of(base, queue_name, tool)
if refuses then
  need('zset', booked, begun_of(base, queue_name, tool), waiting_of(base, queue_name, tool))
end
if queue_cap > 0 then
  local length = start and redis.call('ZCARD', times)
    or redis.call('XLEN', queue) + redis.call('ZCARD', waiting_of(base, queue_name, tool))
      + in_lines(base, queue_name)
  if length >= queue_cap then
    return { 'QUEUE_FULL', length }
  end
end

local live = 0
if owner ~= '' then
  drop_expired(active, now)
  live = redis.call('ZCARD', active)
  if owner_cap > 0 and live >= owner_cap then
    return { 'LIMIT', live }
  end
end

local counted = owner ~= '' and owner_bytes > 0
local size = 0
if counted then
  for i = FIRST_FIELD, #ARGV do
    size = size + #ARGV[i]
  end
  local stored = stored_bytes(base, owner, now)
  if stored + size > owner_bytes then
    return { 'BYTES', int(stored) }
  end
end

if refuses then
  drop_expired(booked, now)
  -- Those that wait for their turn go first, too; most of them are booked.
  local ahead = math.max(redis.call('ZCARD', booked), redis.call('ZCARD', waiting_of(base, queue_name, tool)))
  local turn = rate_frees_at(base, queue_name, tool, { rate = rate }, ahead, now)
  if turn then
    return { 'RATE', int(turn - now) }
  end
end

if owner ~= '' and plain ~= '1' then
  drop_expired(owned, now)
end
-- Raises an error before anything is written if there are more fields than one command takes.
local fields = { unpack(ARGV, FIRST_FIELD) }
local entry = ''
if start and not parked then
  redis.call('ZADD', times, int(start), id)
  fields[#fields + 1] = 'waits'
  fields[#fields + 1] = waits('time', now, '-', start)
elseif not parked and share and not may_go(base, queue_name, tool, owner, share, live) then
  wait_in_line(base, queue_name, tool, owner, id)
  fields[#fields + 1] = 'waits'
  fields[#fields + 1] = waits('turn', now, '-')
elseif not parked then
  entry = redis.call('XADD', queue, '*', 'id', id, 'tool', tool)
  if share then
    note_ready(base, queue_name, tool, owner, id, { created_ms = now, ttl_ms = ttl })
  end
end
redis.call('HSET', record, 'status', parked and 'input_required' or 'queued', 'tool', tool, 'queue', queue_name,
  'owner', owner, 'created_ms', int(now), 'updated_ms', int(now), 'ttl_ms', int(ttl), 'plain', plain, 'attempt', '0',
  'retries', '0', 'crashes', '0', 'entry', entry, unpack(fields))
if alias ~= '' then
  redis.call('HSET', record, 'alias', alias)
end
local waiters = parked and redis.call('HGET', record, 'waiters')
-- With the last write to it: a record that expires at once, and is written to again, would stay for ever.
redis.call('PEXPIREAT', record, int(expires))

local function index(key)
  redis.call('ZADD', key, int(expires), id)
  outlive(key, expires)
end
if owner ~= '' then
  index(active)
  if plain ~= '1' then
    index(owned)
  end
end
if counted then
  store_bytes(base, owner, id, size, expires)
end
if refuses and not parked then
  book(base, queue_name, tool, id, expires)
end
if alias ~= '' then
  redis.call('SET', base .. alias, call == '' and id or (id .. ' ' .. call), 'PXAT', int(expires))
end
if parked then
  ring_waiters(base, id, waiters)
end
return { 'OK', int(now) }

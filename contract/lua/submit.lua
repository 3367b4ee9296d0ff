-- submit: nothing -> queued, or -> input_required and held by nobody (parked) when the caller must be asked first. The
-- record, its expiry and its stream entry appear together or not at all.
-- KEYS  record, queue
-- ARGV  base · id · tool · queue name · owner ('' when callers cannot be told apart) · idempotency key ('' none)
--       · plain ('1' for a plain call) · ttl_ms (integer > 0) · queue_cap (entries, 0 none) · owner_cap (live jobs, 0 none)
--       · parked ('1': no entry yet; the last answer queues the job)
--       · then field, value … of the record (arguments, limits, capabilities, questions, answers)
-- Replies
--   OK, created_ms        stored; also for a repeated submit of the same id, which changes nothing
--   DUPLICATE, id         the idempotency key already stands for this live record; nothing stored
--   QUEUE_FULL, length    the stream holds queue_cap entries; nothing stored
--   LIMIT, live           the owner has owner_cap live jobs; nothing stored
-- Effects  active and owned get the id (owners only), idem:<owner>,<key> with the record's expiry; a parked job rings the replicas that wait
local record, queue = KEYS[1], KEYS[2]
local base, id, tool, queue_name, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local idempotency_key, plain = ARGV[6], ARGV[7]
local ttl, queue_cap, owner_cap = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local parked = ARGV[11] == '1'
local FIRST_FIELD = 12

-- A command that failed after a dropped connection may have run: the same id is the same submit.
local known = redis.call('HGET', record, 'created_ms')
if known then
  return { 'OK', known }
end

-- The comma cannot be part of an owner's name, so no two owners share a key.
local idem = base .. 'idem:' .. owner .. ',' .. idempotency_key
if idempotency_key ~= '' then
  local first = redis.call('GET', idem)
  if first and redis.call('EXISTS', base .. 'task:' .. first) == 1 then
    return { 'DUPLICATE', first }
  end
end

local length = queue_cap > 0 and redis.call('XLEN', queue) or 0
if queue_cap > 0 and length >= queue_cap then
  return { 'QUEUE_FULL', length }
end

local now = now_ms()
local active = base .. 'active:' .. owner
if owner ~= '' and owner_cap > 0 then
  redis.call('ZREMRANGEBYSCORE', active, '-inf', int(now))
  local live = redis.call('ZCARD', active)
  if live >= owner_cap then
    return { 'LIMIT', live }
  end
end

local expires = now + ttl
local entry = parked and '' or redis.call('XADD', queue, '*', 'id', id, 'tool', tool)
redis.call('HSET', record, 'status', parked and 'input_required' or 'queued', 'tool', tool, 'queue', queue_name, 'owner', owner, 'created_ms', int(now),
  'updated_ms', int(now), 'ttl_ms', int(ttl), 'plain', plain, 'attempt', '0', 'retries', '0', 'crashes', '0',
  'entry', entry, unpack(ARGV, FIRST_FIELD))
redis.call('PEXPIREAT', record, int(expires))

local function index(key)
  redis.call('ZADD', key, int(expires), id)
  outlive(key, expires)
end
if owner ~= '' then
  index(active)
  if plain ~= '1' then
    local owned = base .. 'owned:' .. owner
    redis.call('ZREMRANGEBYSCORE', owned, '-inf', int(now))
    index(owned)
  end
end
if idempotency_key ~= '' then
  redis.call('SET', idem, id, 'PXAT', int(expires))
end
if parked then
  ring_waiters(base, id, redis.call('HGET', record, 'waiters'))
end
return { 'OK', int(now) }

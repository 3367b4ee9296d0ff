-- renew_lease: working -> working, input_required -> input_required. Extends the lease and resets the entry's idle time.
-- KEYS  record, queue
-- ARGV  base · id · attempt · worker · entry · lease_ms (integer > 0)
-- Replies
--   OK, key, answer …   renewed; every stored answer follows, as key and JSON
--   CANCELLED           the job was cancelled; stop
--   DONE                the job is terminal; stop
--   GONE                the record expired; the entry is dropped; stop
--   STALE               another attempt holds the job, or nobody does; stop
-- Effects  XCLAIM FORCE JUSTID for the caller (it may raise NOGROUP before anything is written)
local record, queue = KEYS[1], KEYS[2]
local base, id, attempt, worker, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local lease = tonumber(ARGV[6])

local job = read(record, { 'status', 'attempt', 'worker', 'limit', 'tool', 'queue', 'asked', 'open' })
local refused = refusal(job, attempt)
if refused then
  if refused == 'GONE' then
    drop_entry(queue, entry)
  end
  return { refused }
end

local until_ms = int(now_ms() + lease)
if is_a(queue, 'stream') then
  redis.call('XCLAIM', queue, GROUP, worker, 0, entry, 'FORCE', 'JUSTID')
end
redis.call('HSET', record, 'lease_ms', until_ms)
local running = job.limit and running_of(base, job.queue, job.tool)
if running and is_a(running, 'zset') then
  redis.call('ZADD', running, until_ms, id)
end

local reply = { 'OK' }
if job.asked and job.asked ~= job.open then
  for _, name in ipairs(redis.call('HKEYS', record)) do
    local key = string.match(name, '^answer:(.*)$')
    if key then
      reply[#reply + 1] = key
      reply[#reply + 1] = redis.call('HGET', record, name)
    end
  end
end
return reply

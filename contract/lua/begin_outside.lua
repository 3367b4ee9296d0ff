-- begin_outside: no transition of a job that runs: from now on another system may run a job for it, which must be ended when it
-- ends. A worker calls it before it submits.
-- KEYS  record
-- ARGV  base · id · attempt
-- Replies  OK · CANCELLED · DONE · GONE · STALE (as renew_lease)
-- Effects  outside:<queue>. Noted once, however often it is called
local record = KEYS[1]
local base, id, attempt = ARGV[1], ARGV[2], ARGV[3]

local job = read(record, { 'status', 'attempt', 'worker', 'queue', 'tool', 'created_ms', 'ttl_ms', 'outside' })
local refused = refusal(job, attempt)
if refused then
  return { refused }
end
local outside = outside_of(base, job.queue)
need('zset', outside)
local expires = tonumber(job.created_ms) + tonumber(job.ttl_ms)
local known = job.outside or int(expires)
redis.call('HSET', record, 'outside', known)
redis.call('ZADD', outside, int(expires + OUTSIDE_LEFT_MS), id .. ':' .. known .. ':' .. job.tool)
outlive(outside, expires + OUTSIDE_KEPT_MS)
return { 'OK' }

-- report_log: changes no status. Keeps an attempt's log lines for whoever waits for the job and wants them.
-- KEYS  record
-- ARGV  base · id · attempt · then level, text … (at least one pair)
-- Replies  OK · CANCELLED · DONE · GONE · STALE (as renew_lease; nothing is written unless OK)
-- Effects  the log is a stream that lives as long as the record and keeps about the last LINES_KEPT lines; rings the
--          front ends that watch it
local record = KEYS[1]
local base, id, attempt = ARGV[1], ARGV[2], ARGV[3]
-- Derived, so that a worker needs no right to read logs: a key that is named in KEYS must be readable.
local log = base .. 'log:' .. id
local FIRST_LINE = 4
local LINES_KEPT = 1000

local job = read(record, { 'status', 'attempt', 'worker', 'waiters' })
local refused = refusal(job, attempt)
if refused then
  return { refused }
end
for i = FIRST_LINE, #ARGV, 2 do
  redis.call('XADD', log, 'MAXLEN', '~', LINES_KEPT, '*', 'level', ARGV[i], 'text', ARGV[i + 1])
end
redis.call('PEXPIREAT', log, redis.call('PEXPIRETIME', record))
ring_waiters(base, id, job.waiters)
return { 'OK' }

-- report_progress: working -> working, input_required -> input_required. Stores progress and message for pollers.
-- KEYS  record
-- ARGV  base · id · attempt · progress (number, '' to leave) · total (number, '' to leave) · message ('' to leave)
-- Replies  OK · CANCELLED · DONE · GONE · STALE (as renew_lease; nothing is written unless OK)
-- Effects  rings the front ends that watch it
local record = KEYS[1]
local base, id, attempt = ARGV[1], ARGV[2], ARGV[3]
local progress, total, message = ARGV[4], ARGV[5], ARGV[6]

local job = read(record, { 'status', 'attempt', 'worker', 'waiters' })
local refused = refusal(job, attempt)
if refused then
  return { refused }
end

local fields = { 'updated_ms', int(now_ms()) }
local function set(name, value)
  if value ~= '' then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end
set('progress', progress)
set('total', total)
set('message', message)
redis.call('HSET', record, unpack(fields))
ring_waiters(base, id, job.waiters)
return { 'OK' }

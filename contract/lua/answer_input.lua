-- answer_input: input_required -> working when the last open question is answered; a parked job -> queued.
-- KEYS  record, queue
-- ARGV  base · id · owner · key · answer (JSON) · session ('' when the client answers directly; else this is the outcome of
--       the task by which that session's client answers)
-- Replies
--   OK, open     stored; so many questions are still open
--   IGNORED      the key was never asked or has its answer, the job is terminal, or there is no such task; nothing changes
--   GONE         no such record for this owner
-- Effects  a job that was parked in the middle of an attempt waits for its turn at its place, if it has one; deletes
--          client_task:<key> with the outcome of that task; rings the worker that holds the job and the front ends that
--          watch it
local record, queue = KEYS[1], KEYS[2]
local base, id, owner, key, answer, session = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local job = read(record, {
  'status', 'owner', 'worker', 'entry', 'tool', 'queue', 'place', 'open', 'waiters', 'not_before_ms', 'ask:' .. key, 'answer:' .. key,
  'client_task:' .. key, 'share', 'created_ms', 'ttl_ms',
})
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
if TERMINAL[job.status] or not job['ask:' .. key] or job['answer:' .. key] then
  return { 'IGNORED' }
end
local client_task = job['client_task:' .. key]
if session ~= '' and not (client_task and cjson.decode(client_task).session == session) then
  return { 'IGNORED' }
end

local open = tonumber(job.open) - 1
local now = now_ms()
local fields = { 'answer:' .. key, answer, 'open', int(open), 'updated_ms', int(now) }
local function set(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
local held = job.worker and job.worker ~= ''
if open == 0 and job.status == 'input_required' then
  if held then
    set('status', 'working')
  else
    set('status', 'queued')
    local start = tonumber(job.not_before_ms)
    start = start and start > now and start or nil
    local entry, what = enqueue(base, job.queue, id, job.tool, job.place, start, job)
    set('entry', entry)
    set('waits', waits(what, now, '-', start))
  end
end
redis.call('HSET', record, unpack(fields))
if session ~= '' then
  redis.call('HDEL', record, 'client_task:' .. key)
end
if job.place then
  admit(base, job.queue, job.tool)
end
if held then
  redis.call('PUBLISH', base .. 'inbox:' .. job.worker, id)
end
ring_waiters(base, id, job.waiters)
return { 'OK', int(open) }

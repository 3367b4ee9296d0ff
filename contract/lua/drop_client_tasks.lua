-- drop_client_tasks: changes no status. Takes the clients' tasks off a record that nothing waits for any more, for the caller
-- to cancel: those that came too late, and those that still go on though their question has its answer or the job ended.
-- KEYS  record
-- ARGV  base · id · owner · session (whose tasks)
-- Replies
--   OK, key, task …   each is the caller's to cancel, once
--   GONE              no such record for this owner
-- Effects  deletes their client_task:<key> and orphaned:<key>
local record = KEYS[1]
local owner, session = ARGV[3], ARGV[4]

local job = read(record, { 'status', 'owner' })
if not job.status or job.owner ~= owner then
  return { 'GONE' }
end
local reply, dropped = { 'OK' }, {}
local function drop(name, key, whose, task)
  if whose == session then
    dropped[#dropped + 1] = name
    if task then
      reply[#reply + 1] = key
      reply[#reply + 1] = task
    end
  end
end
for _, name in ipairs(redis.call('HKEYS', record)) do
  local kind, key = string.match(name, '^([%a_]+):(.*)$')
  if kind == 'orphaned' then
    drop(name, key, string.match(redis.call('HGET', record, name), '^(%S+) (.*)$'))
  elseif kind == 'client_task' and (TERMINAL[job.status] or redis.call('HEXISTS', record, 'answer:' .. key) == 1) then
    local client_task = cjson.decode(redis.call('HGET', record, name))
    local ended = client_task.status == 'completed' or client_task.status == 'failed'
    drop(name, key, client_task.session, not ended and client_task.task)
  end
end
-- Once all were read: one that cannot be read fails the call before it changes anything.
for _, name in ipairs(dropped) do
  redis.call('HDEL', record, name)
end
return reply

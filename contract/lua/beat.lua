-- beat: no job. Notes that a worker is alive, which definitions of tools it has, and what it reports of itself to operators. Who
-- has nothing new to report sends no fields: that takes five commands, and all of it a dozen.
-- KEYS  worker, workers, definitions
-- ARGV  worker · kept_ms (how long it counts as alive, integer > 0) · number of definitions (integer >= 0) · so many, each
--       tool and digest · then field, value …; none if they are as they were
-- Replies
--   OK
--   UNKNOWN   to a call without fields: they are not there, or it was not noted as alive, or a key holds something else; make the
--             call with all of them
-- Effects  with fields, who was silent for kept_ms goes
local worker, workers, definitions = KEYS[1], KEYS[2], KEYS[3]
local id, kept, held = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST_DEFINITION = 4
-- So many definitions go into one command.
local AT_ONCE = 1000
-- Workers send all of it now and then, so that these last while anybody does.
local SETS_KEPT_MS = 86400 * 1000

local first_field = FIRST_DEFINITION + held
if #ARGV < first_field - 1 then
  error({ err = 'ERR there are fewer definitions than their number says' })
end
local now = int(now_ms())

-- Notes that the worker, and with it each definition, is there now. False if one was not, or a key holds something else.
local function note(call)
  local noted = { call('ZADD', workers, now, id) }
  for first = FIRST_DEFINITION, first_field - 1, AT_ONCE do
    local members = {}
    for i = first, math.min(first + AT_ONCE, first_field) - 1 do
      members[#members + 1] = now
      members[#members + 1] = ARGV[i]
    end
    noted[#noted + 1] = call('ZADD', definitions, unpack(members))
  end
  for _, reply in ipairs(noted) do
    if reply ~= 0 then
      return false
    end
  end
  return true
end

if #ARGV < first_field then
  local is_known = redis.call('PEXPIRE', worker, kept) == 1
  return { is_known and note(redis.pcall) and 'OK' or 'UNKNOWN' }
end
need('hash', worker)
need('zset', workers, definitions)
redis.call('HSET', worker, unpack(ARGV, first_field))
redis.call('PEXPIRE', worker, kept)
local silent = '(' .. int(tonumber(now) - kept)
for _, set in ipairs({ workers, definitions }) do
  redis.call('ZREMRANGEBYSCORE', set, '-inf', silent)
end
note(redis.call)
for _, set in ipairs({ workers, definitions }) do
  redis.call('PEXPIRE', set, SETS_KEPT_MS)
end
return { 'OK' }

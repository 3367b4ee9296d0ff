-- letters: dead letters, the jobs that no worker will attempt again, for a person to decide about.

-- Dead letters are kept for people, about this many a shard, for 30 days: older ones go when the next is buried, and all
-- of them 30 days after the last.
local DEAD_LETTERS_KEPT = 10000
local DEAD_LETTERS_KEPT_MS = 30 * 86400 * 1000

-- A letter repeats arguments and capabilities up to this size together, so that the job can be revived once its record
-- is gone.
local LETTER_BYTES = 4096

-- Keeps a letter where people find it. `letter` is a flat field, value list. Where the letters cannot be kept the job ends
-- all the same, and Redis's log has the letter.
local function bury(base, letter)
  local dead = base .. 'dead'
  if not is_a(dead, 'stream') then
    redis.log(redis.LOG_WARNING, dead .. ' is no stream; a dead letter is lost: ' .. cjson.encode(letter))
    return
  end
  redis.call('XADD', dead, 'MAXLEN', '~', DEAD_LETTERS_KEPT, '*', unpack(letter))
  redis.call('XTRIM', dead, 'MINID', int(now_ms() - DEAD_LETTERS_KEPT_MS))
  redis.call('PEXPIRE', dead, DEAD_LETTERS_KEPT_MS)
end

-- Buries a job that no worker will attempt again, with what a person needs to revive it. Goes before `close`, which may
-- shorten the ttl, and after which the record may be gone.
local function bury_job(base, record, id, job, reason, attempts)
  local letter = {
    'id', id, 'tool', job.tool, 'reason', reason, 'attempts', attempts, 'queue', job.queue, 'owner', job.owner,
    'ttl_ms', job.ttl_ms,
  }
  -- Without these it is unknown, once the record is gone, whether it may be run again, under which key its work was done,
  -- and where a command of it may still be at work.
  append_fields(letter, record, { 'max_attempts', 'origin', 'worker', 'started_ms', 'share' })
  local bytes = redis.call('HSTRLEN', record, 'arguments') + redis.call('HSTRLEN', record, 'capabilities')
  if bytes <= LETTER_BYTES then
    append_fields(letter, record, { 'arguments', 'capabilities' })
  end
  bury(base, letter)
end

-- Ends a job whose worker was lost once too often: failed, and a dead letter.
local function fail_at_crash_limit(base, record, id, job, crashes)
  local text = 'the worker died during attempt ' .. job.attempt .. '; the crash limit of ' .. job.max_crashes
    .. ' is reached (crash_limit of the tool)'
  if job.max_crashes == '1' then
    text = text .. ': the job is not run again, and its work may be partly done'
  end
  bury_job(base, record, id, job, 'crash limit', job.attempt)
  local outcome = outcome_fields('error', cjson.encode({ code = -32603, message = text }), '', text)
  outcome[#outcome + 1] = 'crashes'
  outcome[#outcome + 1] = int(crashes)
  close(base, record, id, job, 'failed', outcome)
end

-- prelude: these files stand, in the order in which they are named in contract/src/script/transition.rs, before every transition.
--
-- Keys a transition does not name in KEYS are derived from ARGV `base`, "<prefix>:{<shard>}:": they carry the same
-- hash tag and so live in the same slot as the keys that are named.
--
-- Replies are arrays of strings and integers whose first element is a tag. Records travel as flat field, value lists.
--
-- base: time, numbers, and keys that may be of another type than they should be.

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- An integer as Redis stores it; Lua would print large ones with an exponent.
local function int(number)
  return string.format('%.0f', number)
end

-- Whether a key can be used as a `kind`: it is one, or is not there. A key that somebody else wrote to must stop nothing
-- but what it is for, and an error in the middle of a transition would leave it half done. So a transition looks at a key
-- before its first write to anything: what it can do without the key it does (`is_a`), and else it refuses the call (`need`).
local function is_a(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Refuses a call, with the error that Redis has for this, if keys cannot be used as a `kind`. Stands before the first write.
local function need(kind, ...)
  for _, key in ipairs({ ... }) do
    if not is_a(key, kind) then
      error({ err = 'WRONGTYPE ' .. key .. ' is no ' .. kind })
    end
  end
end

-- Times: Redis lets a key expire once its time is over, not yet in its last millisecond. A transition that runs while a
-- millisecond ends still sees the keys of its beginning, but a key that is told to expire in the past goes at once. So a
-- record is neither read nor written to after its expiry was set, an index drops only what expired before `now`, and
-- lives for a moment longer than what it has.
local INDEX_KEPT_MS = 1000

-- Takes what expired out of an index, whose scores are the times of that.
local function drop_expired(index, now)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. int(now))
end

-- Takes a member out of an index; says whether it was there.
local function drop_member(index, member)
  return is_a(index, 'zset') and redis.call('ZREM', index, member) == 1
end

-- An index outlives its longest-lived member. Does nothing if there is no such index.
-- Reads nothing of it: a worker may add to an owner's indexes, and not look into them.
local function outlive(index, expires)
  local kept = int(expires + INDEX_KEPT_MS)
  redis.call('PEXPIREAT', index, kept, 'NX')
  redis.call('PEXPIREAT', index, kept, 'GT')
end

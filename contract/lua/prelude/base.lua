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
-- but what it is for: an error in the middle of a transition would leave it half done.
local function is_a(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Takes a member out of an index.
local function drop_member(index, member)
  if is_a(index, 'zset') then
    redis.call('ZREM', index, member)
  end
end

-- An index lives as long as its longest-lived member. Does nothing if there is no such index.
-- Reads nothing of it: a worker may add to an owner's indexes, and not look into them.
local function outlive(index, expires)
  redis.call('PEXPIREAT', index, int(expires), 'NX')
  redis.call('PEXPIREAT', index, int(expires), 'GT')
end

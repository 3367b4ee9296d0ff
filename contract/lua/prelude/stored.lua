-- stored: what the records of a caller take in Redis, where that is bounded. The set `stored:<owner>` has the ids of its jobs,
-- by when their records expire; the hash `bytes:<owner>` has what each takes, and under `all` what they take together.

-- The two keys, or nil if one of them cannot be used: then nothing is counted.
local function stored_keys(base, owner)
  local ids, bytes = base .. 'stored:' .. owner, base .. 'bytes:' .. owner
  if is_a(ids, 'zset') and is_a(bytes, 'hash') then
    return ids, bytes
  end
end

-- What the records take now. Those that expired are taken off, up to a thousand at a time.
local function stored_bytes(base, owner, now)
  local ids, bytes = stored_keys(base, owner)
  if not ids then
    return 0
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ids, '-inf', '(' .. int(now), 'LIMIT', 0, 1000)) do
    local taken = tonumber(redis.call('HGET', bytes, id) or '')
    if taken then
      redis.call('HINCRBY', bytes, 'all', int(-taken))
      redis.call('HDEL', bytes, id)
    end
    redis.call('ZREM', ids, id)
  end
  return tonumber(redis.call('HGET', bytes, 'all') or '') or 0
end

-- Counts so many bytes more for a record, which expires then.
local function store_bytes(base, owner, id, more, expires)
  local ids, bytes = stored_keys(base, owner)
  if ids then
    redis.call('ZADD', ids, int(expires), id)
    outlive(ids, expires)
    redis.call('HINCRBY', bytes, id, int(more))
    redis.call('HINCRBY', bytes, 'all', int(more))
    outlive(bytes, expires)
  end
end

-- The same for a record that ends, if it was counted before.
local function store_more(base, owner, id, more, expires)
  local ids = stored_keys(base, owner)
  if ids and redis.call('ZSCORE', ids, id) then
    store_bytes(base, owner, id, more, expires)
  end
end

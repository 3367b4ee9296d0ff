-- give_homes: no job. Notes of tools that have no home yet which queue has them: the definition of that queue counts from now on.
-- KEYS  homes
-- ARGV  tool, queue … (at least one pair)
-- Replies
--   OK   each has a home now, perhaps another that was given a moment before
local homes = KEYS[1]

for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', homes, ARGV[i]) == 0 then
    redis.call('HSET', homes, ARGV[i], ARGV[i + 1])
  end
end
return { 'OK' }

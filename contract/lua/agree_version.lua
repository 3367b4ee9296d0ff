-- agree_version: no job. The version of the contract that this Redis is used with: stored by whoever comes first, also
-- after Redis lost its data, and raised by a newer process that can work with those that are there.
-- KEYS  contract (the one key without a hash tag, so this call has no other: processes of every major find the version there)
-- ARGV  major · minor (the caller's, integers >= 0)
-- Replies
--   OK, version             the caller can work here; the version now stored, major.minor
--   INCOMPATIBLE, version   the stored major is another, or what is stored is no version; nothing changes
local contract = KEYS[1]
local major, minor = ARGV[1], ARGV[2]

local own = major .. '.' .. minor
local stored = redis.call('GET', contract)
if stored then
  local stored_major, stored_minor = string.match(stored, '^(%d+)%.(%d+)$')
  if stored_major ~= major then
    return { 'INCOMPATIBLE', stored }
  end
  if tonumber(stored_minor) >= tonumber(minor) then
    return { 'OK', stored }
  end
end
redis.call('SET', contract, own)
return { 'OK', own }

-- finish: working or input_required -> completed, failed or cancelled. Stores the outcome, acks and deletes the entry.
-- KEYS  record, queue
-- ARGV  base · id · attempt · entry · status (completed, failed, cancelled) · field (result, error, '' none) · payload (JSON)
--       · is_error ('1' when a completed result reports a tool error) · message ('' to keep the last one)
-- Replies
--   OK       stored
--   DONE     the job is terminal already, by a cancel or by this very call made twice; nothing changes
--   GONE     the record expired; the outcome has no place; the entry is dropped
--   STALE    another attempt holds the job, or nobody does; nothing changes and nothing is acked
local record, queue = KEYS[1], KEYS[2]
local base, id, attempt, entry, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local field, payload, is_error, message = ARGV[6], ARGV[7], ARGV[8], ARGV[9]

local job = read(record, CLOSING)
local refused = refusal(job, attempt)
if refused then
  if refused == 'GONE' then
    drop_entry(queue, entry)
  end
  return { refused == 'CANCELLED' and 'DONE' or refused }
end

close(base, record, id, job, status, outcome_fields(field, payload, is_error, message))
return { 'OK' }

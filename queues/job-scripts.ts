import { createScript } from './redis-script.ts';

/**
 * Forgets finished jobs, so that their ids can be used again; live ones are left alone.
 * KEYS completed and failed sets; ARGV key prefix of jobs, then ids. Answers how many were forgotten.
 */
export const FORGET_FINISHED = createScript(`
local forgotten = 0
for i = 2, #ARGV do
  local job = ARGV[1] .. ARGV[i]
  if redis.call('HEXISTS', job, 'finishedOn') == 1 then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('DEL', job, job .. ':logs')
    forgotten = forgotten + 1
  end
end
return forgotten`);

/**
 * Forgets a job that has failed for good, so that asking again under its id asks again; any other is left alone.
 * KEYS failed set; ARGV key prefix of jobs, id. Answers whether it did.
 */
export const FORGET_FAILED = createScript(`
if redis.call('ZREM', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call('DEL', ARGV[1] .. ARGV[2], ARGV[1] .. ARGV[2] .. ':logs')
return 1`);

/** Which jobs exist and are not finished. ARGV key prefix of jobs, then ids. Answers their ids. */
export const UNDER_WAY = createScript(`
local found = {}
for i = 2, #ARGV do
  local job = ARGV[1] .. ARGV[i]
  if redis.call('EXISTS', job) == 1 and redis.call('HEXISTS', job, 'finishedOn') == 0 then found[#found + 1] = ARGV[i] end
end
return found`);

/**
 * What is known of jobs. KEYS one key of the queue, for the slot; ARGV key prefix of jobs, key prefix of outcomes that came
 * after a job, then ids. Answers for each its outcome, or `under-way`, or `missing`. A job that failed for good counts as
 * under way: its row is re-driven.
 */
export const OUTCOMES = createScript(`
local answers = {}
for i = 3, #ARGV do
  local job = redis.call('HMGET', ARGV[1] .. ARGV[i], 'returnvalue', 'timestamp')
  local later = redis.call('GET', ARGV[2] .. ARGV[i])
  answers[i - 2] = later or job[1] or (job[2] and 'under-way' or 'missing')
end
return answers`);

/**
 * Whether one more event may wait, and a free id for it: one that failed for good and is sent again is tried anew.
 * KEYS waiting, delayed and failed; ARGV how many may wait, the key of the job, its id. Answers 1, or 0 when too many wait.
 */
export const ADMIT_EVENT = createScript(`
if redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[1]) then return 0 end
if redis.call('ZREM', KEYS[3], ARGV[3]) == 1 then redis.call('DEL', ARGV[2], ARGV[2] .. ':logs') end
return 1`);

/**
 * Jobs that failed for good and whose reason does not begin with some words. KEYS failed; ARGV key prefix of jobs, the words,
 * how many at most. Answers data and reason of each, one after the other.
 */
export const FAILED_OTHERWISE = createScript(`
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local job = redis.call('HMGET', ARGV[1] .. id, 'failedReason', 'data')
  if job[2] and string.sub(job[1] or '', 1, #ARGV[2]) ~= ARGV[2] then
    found[#found + 1] = job[2]
    found[#found + 1] = job[1] or ''
    if #found >= 2 * tonumber(ARGV[3]) then break end
  end
end
return found`);

import { AGEING, ERA_WIDTH, HEAD, MAX_TAG, PRUNE_AT, REBASE_AT, REBASE_FEW, TOP_LEVEL } from './fair-order-model.ts';
import { createScript } from './redis-script.ts';

const NUMBERS = `
local HEAD, AGEING, TOP, MAX, ERA = ${HEAD}, ${AGEING}, ${TOP_LEVEL}, ${MAX_TAG}, ${ERA_WIDTH}
local SCORE = 4294967296`;

/**
 * Places requests (see fair-order-model.ts) in one round trip and refuses them all when too many wait.
 *
 * KEYS state, finishes per flow, BullMQ's prioritized set and wait list of the queue
 * ARGV key prefix of jobs, most waiting jobs, first era, then flow and level of each request
 * Answers {waiting jobs, tag, fairStart, tag, fairStart, …}; only {waiting jobs} when refused.
 *
 * Besides placing it keeps the numbers in range. Tags are moved back together (rebase): their order stays, BullMQ's
 * `priority` of each job follows, and a new era begins, so that a worker's report of an older start is not believed. A
 * job that was placed before a rebase and added after it would wait behind everybody: no tag may be above the highest
 * one handed out since, so such a stray is recognised and put where a newcomer would be.
 */
export const PLACE = createScript(`${NUMBERS}
local state, flows, prioritized, wait = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local count = (#ARGV - 3) / 2
local inSet = redis.call('ZCARD', prioritized)
local waiting = inSet + redis.call('LLEN', wait)
if waiting + count > tonumber(ARGV[2]) then return {waiting} end

local stored = redis.call('HMGET', state, 'v', 'top', 'era', 'prune')
local v, top, era = tonumber(stored[1] or 0), tonumber(stored[2] or 0), tonumber(stored[3] or ARGV[3])
local prune = tonumber(stored[4] or ${PRUNE_AT})
local finishes = {}

local function rescore(id, score)
  redis.call('ZADD', prioritized, 'XX', score, id)
  redis.call('HSET', ARGV[1] .. id, 'priority', math.floor(score / SCORE))
end

local function finishOf(flow)
  if not finishes[flow] then
    local known = redis.call('HGET', flows, flow)
    finishes[flow] = known and cjson.decode(known) or {0, 0, 0, 0}
  end
  return finishes[flow]
end

local function keep(flow, finish)
  redis.call('HSET', flows, flow, string.format('[%.17g,%.17g,%.17g,%.17g]', finish[1], finish[2], finish[3], finish[4]))
end

local function shiftFlows(base)
  local all = redis.call('HGETALL', flows)
  for i = 1, #all, 2 do
    local finish, alive = cjson.decode(all[i + 1]), false
    for level = 1, 4 do
      alive = alive or finish[level] > v
      finish[level] = math.max(0, finish[level] - base)
    end
    if not alive then redis.call('HDEL', flows, all[i]) elseif base > 0 then keep(all[i], finish) end
  end
  prune = math.max(${PRUNE_AT}, 2 * redis.call('HLEN', flows))
end

local function rebase()
  local base = math.floor(v)
  local first = redis.call('ZRANGE', prioritized, 0, 0, 'WITHSCORES')
  if first[2] then base = math.min(base, math.floor(tonumber(first[2]) / SCORE) - 1) end
  shiftFlows(base)
  for from = 0, inSet - 1, 1000 do
    local page = redis.call('ZRANGE', prioritized, from, from + 999, 'WITHSCORES')
    for i = 1, #page, 2 do rescore(page[i], tonumber(page[i + 1]) - base * SCORE) end
  end
  v, top, era, finishes = v - base, math.max(0, top - base), (era + 1) % 1048576, {}
end

local function retagStrays()
  local last = redis.call('ZREVRANGE', prioritized, 0, 99, 'WITHSCORES')
  for i = 1, #last, 2 do
    local score = tonumber(last[i + 1])
    if math.floor(score / SCORE) <= top then return end
    rescore(last[i], (math.floor(v) + HEAD * TOP + 1) * SCORE + score % SCORE)
  end
end

local function place()
  local reply, highest = {waiting}, top
  for i = 4, #ARGV, 2 do
    local finish, level = finishOf(ARGV[i]), tonumber(ARGV[i + 1]) + 1
    local start = math.max(v, finish[level])
    finish[level] = start + 1
    for lower = 1, level - 1 do finish[lower] = math.max(v, finish[lower]) + 1 end
    local tag = math.floor(start) + HEAD * (TOP + 1 - level) + 1
    highest = math.max(highest, tag)
    reply[#reply + 1] = math.min(MAX, tag)
    reply[#reply + 1] = string.format('%.17g', era * ERA + start)
  end
  return reply, highest
end

if inSet > 0 then retagStrays() end
if v > ${REBASE_AT} and inSet <= ${REBASE_FEW} then rebase() end
if redis.call('HLEN', flows) > prune then shiftFlows(0) end
local reply, highest = place()
if highest > MAX then
  finishes = {}
  rebase()
  reply, highest = place()
end
for flow, finish in pairs(finishes) do keep(flow, finish) end
redis.call('HSET', state, 'v', string.format('%.17g', v), 'top', math.min(MAX, highest), 'era', era, 'prune', prune)
return reply`);

/**
 * Moves the virtual time on. KEYS state; ARGV latest fairStart taken, how many were taken.
 * A start of another era says nothing about this one: then only the ageing counts.
 */
export const ADVANCE = createScript(`${NUMBERS}
local stored = redis.call('HMGET', KEYS[1], 'v', 'era')
if not stored[1] then return 0 end
local v, reported = tonumber(stored[1]), tonumber(ARGV[1])
if math.floor(reported / ERA) == tonumber(stored[2]) then v = math.max(v, reported % ERA) end
redis.call('HSET', KEYS[1], 'v', string.format('%.17g', v + AGEING * tonumber(ARGV[2])))
return 1`);

import { z } from 'zod';
import { TIER_PRIORITY, TIERS } from '../shared/allocation/tier.ts';
import { ENTRY_STATUSES, entryStatusOf, type QueueEntry } from '../shared/store/queue-entries.ts';
import type { WaitFacts } from '../shared/store/wait-facts.ts';
import type { StartEstimate } from '../shared/waitlist/estimate-start.ts';
import { WAIT_REASONS } from '../shared/waitlist/wait-reason.ts';

const instant = z.string().describe('ISO 8601, UTC');

/** When a device is expected. */
export const estimatedStart = z.object({
  p50: instant.describe('As likely before as after'),
  p90: instant.describe('Nine in ten start before'),
});

/** An entry of the queue. */
export const entryAnswer = z.object({
  id: z.string().describe('The id of the request: `/scheduler/requests/:id` knows it as well'),
  userId: z.string(),
  status: z.enum(ENTRY_STATUSES),
  priority: z.int(),
  userTier: z.enum(TIERS),
  queuePosition: z.int().optional().describe('1 is next; only of one entry, while it waits'),
  estimatedWaitMinutes: z.int().optional(),
  maxWaitMinutes: z.int().nullable(),
  durationMinutes: z.int().nullable(),
  deviceType: z.string().optional(),
  allocatedDeviceId: z.string().optional(),
  allocationId: z.string().optional(),
  retryCount: z.int().describe('How often it was its turn and it could not be served'),
  createdAt: instant,
  processedAt: instant.optional(),
  fulfilledAt: instant.optional(),
  cancelledAt: instant.optional(),
  cancelReason: z.string().optional(),
  expiredAt: instant.optional(),
  expiryReason: z.string().optional(),
});

export const positionAnswer = z.object({
  position: z.int(),
  aheadCount: z.int(),
  estimatedStart: estimatedStart.optional(),
  estimatedWaitMinutes: z.int().optional(),
  waitedMinutes: z.int(),
  remainingMaxWaitMinutes: z.int(),
  reason: z.enum(WAIT_REASONS),
});

const MINUTE_MS = 60_000;

/** @param facts  how it waits, if it does and somebody asked for it alone */
export function viewEntry(entry: QueueEntry, facts?: WaitFacts): z.output<typeof entryAnswer> {
  const status = entryStatusOf(entry.state);
  const decidedAt = entry.decidedAt?.toISOString();
  const wait = facts === undefined ? undefined : waitMinutes(facts);
  return {
    id: entry.id,
    userId: entry.userId,
    status,
    priority: TIER_PRIORITY[entry.tier],
    userTier: entry.tier,
    ...(facts === undefined ? {} : { queuePosition: facts.aheadCount + 1 }),
    ...(wait === undefined ? {} : { estimatedWaitMinutes: wait }),
    maxWaitMinutes: entry.maxWaitMinutes,
    durationMinutes: entry.durationMinutes,
    ...(entry.deviceType === null ? {} : { deviceType: entry.deviceType }),
    ...(entry.deviceId === null ? {} : { allocatedDeviceId: entry.deviceId }),
    ...(entry.allocationId === null ? {} : { allocationId: entry.allocationId }),
    retryCount: entry.retryCount,
    createdAt: entry.createdAt.toISOString(),
    ...(decidedAt === undefined ? {} : endOf(status, decidedAt, entry)),
  };
}

function endOf(status: z.output<typeof entryAnswer>['status'], at: string, { code, reason }: QueueEntry) {
  if (status === 'fulfilled') return { processedAt: at, fulfilledAt: at };
  if (status === 'expired') return { processedAt: at, expiredAt: at, expiryReason: code ?? 'REQUEST_TIMED_OUT' };
  const why = code === 'REQUEST_CANCELLED' ? reason : (code ?? reason);
  return { processedAt: at, cancelledAt: at, ...(why === null ? {} : { cancelReason: why }) };
}

export function viewPosition(entry: QueueEntry, facts: WaitFacts): z.output<typeof positionAnswer> {
  const wait = waitMinutes(facts);
  const until = (entry.deadline?.getTime() ?? facts.now.getTime()) - facts.now.getTime();
  return {
    position: facts.aheadCount + 1,
    aheadCount: facts.aheadCount,
    ...(facts.estimate === undefined ? {} : { estimatedStart: viewEstimate(facts.estimate) }),
    ...(wait === undefined ? {} : { estimatedWaitMinutes: wait }),
    waitedMinutes: Math.max(0, Math.floor((facts.now.getTime() - entry.waitingSince.getTime()) / MINUTE_MS)),
    remainingMaxWaitMinutes: Math.max(0, Math.ceil(until / MINUTE_MS)),
    reason: facts.reason,
  };
}

export function viewEstimate({ p50, p90 }: StartEstimate): z.output<typeof estimatedStart> {
  return { p50: p50.toISOString(), p90: p90.toISOString() };
}

function waitMinutes({ estimate, now }: WaitFacts): number | undefined {
  return estimate === undefined ? undefined : Math.max(0, Math.ceil((estimate.p50.getTime() - now.getTime()) / MINUTE_MS));
}

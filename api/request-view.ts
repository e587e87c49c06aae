import { z } from 'zod';
import { TIERS } from '../shared/allocation/tier.ts';
import { ERRORS, SchedulerError } from '../shared/errors.ts';
import type { GrantOfRequest, RequestState } from '../shared/store/requests.ts';
import type { WaitFacts } from '../shared/store/wait-facts.ts';
import { estimatedStart, viewEstimate } from './queue-view.ts';

const instant = z.string().describe('ISO 8601, UTC');

/** A granted allocation as its holder sees it. */
export const allocationAnswer = z.object({
  allocationId: z.string(),
  deviceId: z.string(),
  device: z.object({ id: z.string(), name: z.string(), status: z.string() }),
  userId: z.string(),
  tenantId: z.string().nullable(),
  allocatedAt: instant,
  expiresAt: instant,
  durationMinutes: z.int(),
  fence: z.int().describe('Rises with every allocation of the device; an older one can do nothing'),
  adbHost: z.string().optional(),
  adbPort: z.int().optional(),
});

/** A request as it stands. */
export const requestAnswer = z.object({
  requestId: z.string(),
  userId: z.string(),
  tenantId: z.string().nullable(),
  tier: z.enum(TIERS),
  status: z.enum(['pending', 'waiting', 'granted', 'refused', 'cancelled', 'timed_out']),
  code: z.string().optional().describe('Why it was refused, cancelled or timed out'),
  reason: z.string().optional().describe('The same in words; for a waiting request what it waits for'),
  details: z.record(z.string(), z.unknown()).optional(),
  position: z.int().optional().describe('Place among the waiting who could take the same devices, 1 is next'),
  estimatedStart: estimatedStart.optional(),
  allocationId: z.string().optional(),
  createdAt: instant,
  deadline: instant.nullable(),
  decidedAt: instant.nullable(),
});

/** A request that is not decided yet. */
export const acceptedAnswer = z.object({
  requestId: z.string(),
  status: z.enum(['pending', 'waiting']),
  position: z.int().optional(),
  estimatedStart: estimatedStart.optional(),
  reason: z.string(),
});

/** @param mayConnect  whether the asker is the holder, who alone is told how to reach the device */
export function viewGrant(state: RequestState, grant: GrantOfRequest, mayConnect: boolean): z.output<typeof allocationAnswer> {
  return {
    allocationId: grant.allocationId,
    deviceId: grant.deviceId,
    device: { id: grant.deviceId, name: grant.deviceName, status: grant.deviceStatus },
    userId: state.userId,
    tenantId: state.tenantId,
    allocatedAt: grant.allocatedAt.toISOString(),
    expiresAt: grant.expiresAt.toISOString(),
    durationMinutes: grant.durationMinutes,
    fence: grant.fence,
    ...(mayConnect && grant.adbHost !== null ? { adbHost: grant.adbHost } : {}),
    ...(mayConnect && grant.adbPort !== null ? { adbPort: grant.adbPort } : {}),
  };
}

/** @param waiting  how it waits, if it does */
export function viewRequest(state: RequestState, waiting: WaitFacts | undefined): z.output<typeof requestAnswer> {
  return {
    requestId: state.requestId,
    userId: state.userId,
    tenantId: state.tenantId,
    tier: state.tier,
    status: state.status,
    ...(state.code === null ? {} : { code: state.code }),
    ...(waiting !== undefined ? { reason: waiting.reason } : state.reason === null ? {} : { reason: state.reason }),
    ...(state.details === undefined ? {} : { details: { ...state.details } }),
    ...(waiting === undefined ? {} : viewPlace(waiting)),
    ...(state.grant === null ? {} : { allocationId: state.grant.allocationId }),
    createdAt: state.createdAt.toISOString(),
    deadline: state.deadline?.toISOString() ?? null,
    decidedAt: state.decidedAt?.toISOString() ?? null,
  };
}

/** Place and expectation of a waiting request. */
export function viewPlace({ aheadCount, estimate }: WaitFacts) {
  return { position: aheadCount + 1, ...(estimate === undefined ? {} : { estimatedStart: viewEstimate(estimate) }) };
}

/** The refusal a decided request without a device stands for. */
export function refusalOf(state: RequestState): SchedulerError {
  const fallback = { cancelled: 'REQUEST_CANCELLED', timed_out: 'REQUEST_TIMED_OUT' } as const;
  const code = state.code ?? (state.status === 'cancelled' || state.status === 'timed_out' ? fallback[state.status] : 'INTERNAL');
  const sentence = ERRORS[code].message;
  return new SchedulerError(code, {
    messages: state.reason === null ? [sentence] : [sentence, state.reason],
    details: { ...state.details, requestId: state.requestId },
  });
}

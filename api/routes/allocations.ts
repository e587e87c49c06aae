import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import { TIERS } from '../../shared/allocation/tier.ts';
import { SchedulerError } from '../../shared/errors.ts';
import {
  ALLOCATION_STATUSES,
  type AllocationRecord,
  type AllocationWhole,
  COUNT_LIMIT,
  countAllocations,
  type HistoryPosition,
  listAllocations,
  readAllocation,
} from '../../shared/store/allocation-history.ts';
import { readAllocationStats } from '../../shared/store/allocation-stats.ts';
import { noteShown } from '../../shared/store/read-reservations.ts';
import { readActiveStrategy } from '../../shared/store/strategies.ts';
import { assertMayActFor, assertMaySpeakFor, type Caller, isUser, reachOf } from '../caller.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { type Api, errorAnswers, idParams, instantInput, noQuery, pageOf, pagingQuery } from '../route-schema.ts';

const instant = z.string().describe('ISO 8601, UTC');
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MILLISECONDS = /^\d{1,13}$/;

const record = {
  allocationId: z.string(),
  requestId: z.string(),
  deviceId: z.string(),
  deviceName: z.string(),
  userId: z.string(),
  tenantId: z.string().nullable(),
  tier: z.enum(TIERS),
  status: z.enum(ALLOCATION_STATUSES),
  fence: z.int(),
  strategy: z.string(),
  durationMinutes: z.int(),
  extendCount: z.int(),
  allocatedAt: instant,
  expiresAt: instant,
  endedAt: instant.nullable(),
  endReason: z.string().nullable(),
  durationSeconds: z.int().describe('Held so far, or in all'),
  billedSeconds: z.int().describe('In the ledger; 0 while it is held'),
};

/** One line of the history as it is answered. */
export const recordAnswer = z.object(record);

const wholeAnswer = z.object({
  ...record,
  adbHost: z.string().optional().describe('Only for the holder, while it is held'),
  adbPort: z.int().optional(),
  ledger: z.array(
    z.object({
      startedAt: instant,
      endedAt: instant,
      durationSeconds: z.int(),
      endReason: z.string(),
      status: z.enum(['owed', 'settled', 'dead']),
      attempts: z.int(),
      settledAt: instant.nullable(),
    }),
  ),
});

const historyQuery = z.strictObject({
  userId: partyId.optional(),
  status: z.enum(ALLOCATION_STATUSES).optional(),
  deviceId: z.guid().optional(),
  from: instantInput.optional().describe('Started at or after'),
  to: instantInput.optional().describe('Started before'),
  ...pagingQuery,
});

const statsAnswer = z.object({
  totalAllocations: z.int(),
  activeAllocations: z.int(),
  releasedAllocations: z.int(),
  expiredAllocations: z.int(),
  strategy: z.string(),
  byTier: z.record(z.string(), z.int()),
  byEndReason: z.record(z.string(), z.int()),
  waitP50Ms: z.number().nullable().describe('From acceptance to grant, last 24 hours, ms'),
  waitP95Ms: z.number().nullable(),
});

/** The usage history: who had which device, how long, why it ended. */
export function allocationRoutes(api: Api, deps: ServerDeps): void {
  api.get(
    '/scheduler/allocations',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Allocations'],
        summary: 'Usage history, newest first',
        description: `\`total\` counts up to ${COUNT_LIMIT}.`,
        querystring: historyQuery,
        response: { 200: successOf(pageOf(recordAnswer)), ...errorAnswers() },
      },
    },
    async (request) => {
      const { limit, cursor, ...filter } = request.query;
      if (filter.userId !== undefined) assertMayActFor(request.caller, filter.userId);
      const reach = reachOf(request.caller);
      const after = cursor === undefined ? undefined : positionFrom(cursor);
      const [{ items, more }, total] = await Promise.all([
        listAllocations(deps.store, filter, reach, limit, after),
        countAllocations(deps.store, filter, reach),
      ]);
      const last = items.at(-1);
      const nextCursor = more && last !== undefined ? encodeCursor([String(last.allocatedAt.getTime()), last.allocationId]) : null;
      return success(request, { items: items.map(viewRecord), total, nextCursor });
    },
  );

  api.get(
    '/scheduler/allocations/stats',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Allocations'],
        summary: 'Counts and waits, of what the caller may see',
        querystring: z.strictObject({ tenantId: partyId.optional() }),
        response: { 200: successOf(statsAnswer), ...errorAnswers() },
      },
    },
    async (request) => {
      const { tenantId } = request.query;
      assertMaySpeakFor(request.caller, tenantId);
      const [stats, strategy] = await Promise.all([
        readAllocationStats(deps.store, reachOf(request.caller), tenantId),
        readActiveStrategy(deps.store),
      ]);
      return success(request, { ...stats, strategy: strategy.type });
    },
  );

  api.get(
    '/scheduler/allocations/:id',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Allocations'],
        summary: 'One allocation with its ledger',
        params: idParams,
        querystring: noQuery,
        response: { 200: successOf(wholeAnswer), ...errorAnswers(404) },
      },
    },
    async (request) => {
      const allocation = await readAllocation(deps.store, request.params.id, reachOf(request.caller));
      if (allocation === undefined) throw new SchedulerError('ALLOCATION_NOT_FOUND');
      // Who asks in person how to reach the device of a reservation has come for it.
      const { status, userId, allocationId } = allocation;
      if (status === 'allocated' && isUser(request.caller, userId)) await noteShown(deps.store, allocationId);
      return success(request, viewWhole(allocation, request.caller));
    },
  );
}

function positionFrom(cursor: string): HistoryPosition {
  const [at, allocationId] = decodeCursor(cursor, [MILLISECONDS, UUID]);
  return { allocatedAt: new Date(Number(at)), allocationId: allocationId ?? '' };
}

/** A line of the history in the words of the API. */
export function viewRecord(allocation: AllocationRecord): z.output<typeof recordAnswer> {
  return {
    ...allocation,
    allocatedAt: allocation.allocatedAt.toISOString(),
    expiresAt: allocation.expiresAt.toISOString(),
    endedAt: allocation.endedAt?.toISOString() ?? null,
  };
}

function isHolder({ status, userId }: AllocationRecord, caller: Caller): boolean {
  return status === 'allocated' && (caller.role === 'service' || isUser(caller, userId));
}

function viewWhole({ adbHost, adbPort, ledger, ...allocation }: AllocationWhole, caller: Caller): z.output<typeof wholeAnswer> {
  const holds = isHolder(allocation, caller);
  return {
    ...viewRecord(allocation),
    ...(holds && adbHost !== null ? { adbHost } : {}),
    ...(holds && adbPort !== null ? { adbPort } : {}),
    ledger: ledger.map((segment) => ({
      ...segment,
      startedAt: segment.startedAt.toISOString(),
      endedAt: segment.endedAt.toISOString(),
      settledAt: segment.settledAt?.toISOString() ?? null,
    })),
  };
}

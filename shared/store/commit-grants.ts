import { hash } from 'node:crypto';
import type { AllocationRequest, ExistingRequest, GatheredRequest } from '../allocation/facts.ts';
import type { AllocateOutcome, GrantedAllocation } from '../allocation/outcome.ts';
import type { Decision } from '../allocation/plan-group.ts';
import { allocationRefused, deviceAllocated, type OutboxEvent } from '../events.ts';
import type { Strategy } from '../placement/strategy.ts';
import { bookkeepingOf } from './device-turns.ts';
import type { Transaction } from './store.ts';
import { usageReport } from './usage-row.ts';
import { queueEvents, type WaitingColumns, waitingColumns } from './waiting-columns.ts';

const MINUTE_MS = 60_000;

/** A row of the outbox before it has an id. */
export interface OutboxRow {
  readonly channel: 'event' | 'usage';
  readonly topic: string;
  readonly key: string;
  readonly payload: unknown;
  readonly trace_id: string | null;
}

interface RequestRow extends Partial<WaitingColumns> {
  id: string;
  caller: string;
  source: string;
  user_id: string;
  tenant_id: string | null;
  tier: string;
  status: string;
  asked: unknown;
  trace_id: string | null;
  code: string | null;
  details: unknown;
  allocation_id: string | null;
  max_wait: number;
}

/**
 * Writes what a group decided: devices, allocations, requests and outbox, as one statement.
 *
 * Each write names the state it expects (device free with the fence that was read, request undecided); if one row does
 * not answer, somebody broke the locking order and the whole group is undone by the error.
 *
 * @param now  when the leases start, from the database: the transaction's time or later
 * @returns the outcome of every request that was decided here, by request id
 */
export async function commitGrants(
  tx: Transaction,
  group: readonly GatheredRequest[],
  decisions: ReadonlyMap<string, Decision>,
  existing: ReadonlyMap<string, ExistingRequest>,
  strategy: Strategy,
  now: Date,
): Promise<Map<string, AllocateOutcome>> {
  const outcomes = new Map<string, AllocateOutcome>();
  const lease = createLease(strategy.type, now);
  const requests: RequestRow[] = [];
  const allocations: Record<string, unknown>[] = [];
  const outbox: OutboxRow[] = [];
  const waiting = await waitingColumns(tx, group, decisions, existing);
  for (const { request } of group) {
    const decision = decisions.get(request.requestId);
    if (decision === undefined || decision.kind === 'contended' || decision.kind === 'settled') continue;
    const outcome = outcomeOf(request, decision, lease);
    outcomes.set(request.requestId, outcome);
    requests.push({ ...toRequestRow(request, outcome), ...waiting.get(request.requestId) });
    outbox.push(...toOutbox(request, decision, outcome), ...toQueueEvents(request, outcome, existing.get(request.requestId), now));
    if (decision.kind === 'granted' && outcome.status === 'granted')
      allocations.push(toAllocationRow(request, decision, outcome.allocation));
  }
  if (requests.length > 0) await write(tx, requests, allocations, outbox, strategy);
  return outcomes;
}

async function write(
  tx: Transaction,
  requests: readonly RequestRow[],
  allocations: readonly Record<string, unknown>[],
  outbox: readonly OutboxRow[],
  strategy: Strategy,
): Promise<void> {
  const kept = bookkeepingOf(strategy);
  const [written] = await tx.$queryRaw<{ requests: number; allocations: number }[]>`
    WITH granted AS (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(allocations)}::jsonb) AS x(
        id uuid, request_id uuid, device_id uuid, device_name text, user_id text, tenant_id text, tier text, fence bigint, strategy text,
        duration_minutes int, cpu_cores int, memory_mb int, storage_mb int, balance_unchecked boolean, quota_unchecked boolean,
        heartbeat_seconds int, auto_extend boolean, allocated_at timestamptz, expires_at timestamptz)
    ), ${kept.before}held AS (
      UPDATE devices d SET allocation_id = g.id, fence = g.fence, updated_at = now()${kept.set}
      FROM granted g${kept.from}
      WHERE d.id = g.device_id AND d.status = 'running' AND d.allocation_id IS NULL AND d.fence = g.fence - 1
      RETURNING ${kept.returning}
    )${kept.after}, inserted AS (
      INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tenant_id, tier, fence, strategy, duration_minutes, cpu_cores,
        memory_mb, storage_mb, balance_unchecked, quota_unchecked, heartbeat_seconds, auto_extend, allocated_at, expires_at, heartbeat_check_at)
      SELECT id, request_id, device_id, device_name, user_id, tenant_id, tier, fence, strategy, duration_minutes, cpu_cores,
        memory_mb, storage_mb, balance_unchecked, quota_unchecked, heartbeat_seconds, auto_extend, allocated_at, expires_at,
        allocated_at + make_interval(secs => heartbeat_seconds)
      FROM held
      RETURNING id
    ), decided AS (
      INSERT INTO requests AS r (id, caller, source, user_id, tenant_id, tier, status, asked, trace_id, code, details, allocation_id, deadline, waiting_since, decided_at,
        flow, rank_at, needs, wanted_device, parked, parked_at, reply_to, retry_count)
      SELECT x.id, x.caller, x.source, x.user_id, x.tenant_id, x.tier, x.status, x.asked, x.trace_id, x.code, x.details, x.allocation_id,
        now() + make_interval(mins => x.max_wait), CASE WHEN x.status = 'waiting' THEN now() END, CASE WHEN x.status <> 'waiting' THEN now() END,
        x.flow, x.rank_at, x.needs, x.wanted_device, x.parked, CASE WHEN x.parked IS NOT NULL THEN now() END, x.reply_to, coalesce(x.retry_count, 0)
      FROM jsonb_to_recordset(${JSON.stringify(requests)}::jsonb) AS x(
        id uuid, caller text, source text, user_id text, tenant_id text, tier text, status text, asked jsonb, trace_id text, code text, details jsonb,
        allocation_id uuid, max_wait int, flow text, rank_at timestamptz, needs int[], wanted_device uuid, parked text, reply_to text, retry_count int)
      ON CONFLICT (id) DO UPDATE SET status = excluded.status, code = excluded.code, details = excluded.details,
        allocation_id = excluded.allocation_id, decided_at = excluded.decided_at, waiting_since = coalesce(r.waiting_since, excluded.waiting_since),
        flow = coalesce(r.flow, excluded.flow), rank_at = coalesce(r.rank_at, excluded.rank_at), needs = coalesce(excluded.needs, r.needs),
        wanted_device = coalesce(r.wanted_device, excluded.wanted_device), parked = excluded.parked, parked_at = excluded.parked_at,
        reply_to = coalesce(r.reply_to, excluded.reply_to), retry_count = r.retry_count + excluded.retry_count
      WHERE r.status IN ('pending', 'waiting')
      RETURNING id
    ), announced AS (
      INSERT INTO outbox (channel, topic, key, payload, trace_id)
      SELECT x.channel, x.topic, x.key, x.payload, x.trace_id
      FROM ROWS FROM (jsonb_to_recordset(${JSON.stringify(outbox)}::jsonb) AS (channel text, topic text, key text, payload jsonb, trace_id text))
        WITH ORDINALITY AS x(channel, topic, key, payload, trace_id, position)
      ORDER BY x.position
    )
    SELECT (SELECT count(*)::int FROM decided) AS requests, (SELECT count(*)::int FROM inserted) AS allocations`;
  if (written?.requests !== requests.length || written.allocations !== allocations.length) {
    throw new Error(
      `a group of ${requests.length} requests and ${allocations.length} grants wrote ${written?.requests} and ${written?.allocations}`,
    );
  }
}

function outcomeOf(
  request: AllocationRequest,
  decision: Exclude<Decision, { kind: 'contended' | 'settled' }>,
  lease: Lease,
): AllocateOutcome {
  const { requestId } = request;
  switch (decision.kind) {
    case 'granted':
      return { status: 'granted', requestId, allocation: grantOf(request, decision, lease) };
    case 'refused':
      return { status: 'refused', requestId, ...decision.refusal };
    case 'waiting':
      return { status: 'waiting', requestId, reason: decision.reason };
    case 'timed-out':
      return { status: 'timed_out', requestId, code: 'REQUEST_TIMED_OUT' };
  }
}

/** What all grants of a group have in common, put into words once. */
interface Lease {
  readonly strategy: string;
  readonly allocatedAt: string;
  readonly expiresAt: (durationMinutes: number) => string;
}

function createLease(strategy: string, now: Date): Lease {
  const ends = new Map<number, string>();
  const expiresAt = (durationMinutes: number) => {
    const end = ends.get(durationMinutes) ?? new Date(now.getTime() + durationMinutes * MINUTE_MS).toISOString();
    ends.set(durationMinutes, end);
    return end;
  };
  return { strategy, allocatedAt: now.toISOString(), expiresAt };
}

function grantOf(
  request: AllocationRequest,
  { device, until }: Extract<Decision, { kind: 'granted' }>,
  { strategy, allocatedAt, expiresAt }: Lease,
): GrantedAllocation {
  const { durationMinutes } = request.asked;
  return {
    allocationId: allocationIdOf(request.requestId),
    deviceId: device.id,
    deviceName: device.name,
    deviceStatus: device.status,
    userId: request.userId,
    tenantId: request.tenantId,
    allocatedAt,
    expiresAt: until?.toISOString() ?? expiresAt(durationMinutes),
    durationMinutes,
    fence: device.fence + 1,
    strategy,
  };
}

/** One request, one allocation: its id follows from the request's, so a repeat can only ever mean the same one. */
export function allocationIdOf(requestId: string): string {
  const hex = hash('sha256', `allocation:${requestId}`, 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function toRequestRow(request: AllocationRequest, outcome: AllocateOutcome): RequestRow {
  return {
    id: request.requestId,
    caller: request.caller,
    source: request.source,
    user_id: request.userId,
    tenant_id: request.tenantId,
    tier: request.tier,
    status: outcome.status,
    asked: request.asked,
    trace_id: request.traceId ?? null,
    code: codeOf(outcome),
    details: detailsOf(outcome),
    allocation_id: outcome.status === 'granted' ? outcome.allocation.allocationId : null,
    max_wait: request.asked.maxWaitMinutes,
  };
}

/** Why it was refused, or what it waits for. */
function codeOf(outcome: AllocateOutcome): string | null {
  if (outcome.status === 'granted') return null;
  return outcome.status === 'waiting' ? outcome.reason : outcome.code;
}

function detailsOf(outcome: AllocateOutcome): Record<string, unknown> | null {
  if (outcome.status === 'waiting') return { reason: outcome.reason };
  if (outcome.status !== 'refused') return null;
  return { reason: outcome.reason, ...(outcome.details === undefined ? {} : { details: outcome.details }) };
}

function toAllocationRow(
  request: AllocationRequest,
  decision: Extract<Decision, { kind: 'granted' }>,
  grant: GrantedAllocation,
): Record<string, unknown> {
  const { device } = decision;
  return {
    id: grant.allocationId,
    request_id: request.requestId,
    device_id: device.id,
    device_name: device.name,
    user_id: request.userId,
    tenant_id: request.tenantId,
    tier: request.tier,
    fence: grant.fence,
    strategy: grant.strategy,
    duration_minutes: grant.durationMinutes,
    cpu_cores: device.cpuCores,
    memory_mb: device.memoryMB,
    storage_mb: device.storageMB,
    balance_unchecked: decision.balanceUnchecked,
    quota_unchecked: decision.quotaUnchecked,
    heartbeat_seconds: request.asked.heartbeatSeconds ?? null,
    auto_extend: request.asked.autoExtend,
    allocated_at: grant.allocatedAt,
    expires_at: grant.expiresAt,
  };
}

function toOutbox(request: AllocationRequest, decision: Decision, outcome: AllocateOutcome): OutboxRow[] {
  const trace_id = request.traceId ?? null;
  const event = ({ topic, key, payload }: OutboxEvent): OutboxRow => ({ channel: 'event', topic, key, payload, trace_id });
  if (outcome.status === 'granted' && decision.kind === 'granted') {
    const { allocation } = outcome;
    return [event(deviceAllocated(allocation)), { ...usageReport('increment', { ...allocation, ...sizeOf(decision) }), trace_id }];
  }
  if (outcome.status === 'refused') return [event(allocationRefused({ ...request, code: outcome.code, reason: outcome.reason }))];
  if (outcome.status === 'timed_out')
    return [event(allocationRefused({ ...request, code: outcome.code, reason: 'not decided before its deadline' }))];
  return [];
}

function toQueueEvents(
  request: AllocationRequest,
  outcome: AllocateOutcome,
  existing: ExistingRequest | undefined,
  now: Date,
): OutboxRow[] {
  const trace_id = request.traceId ?? null;
  return queueEvents(request, outcome, existing, now).map(({ topic, key, payload }) => ({
    channel: 'event',
    topic,
    key,
    payload,
    trace_id,
  }));
}

function sizeOf({ device }: Extract<Decision, { kind: 'granted' }>) {
  return { cpuCores: device.cpuCores, memoryMB: device.memoryMB, storageMB: device.storageMB };
}

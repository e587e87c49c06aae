import { randomUUID } from 'node:crypto';
import type { Store } from '../../shared/store/store.ts';

/** A row for the outbox; what is left out is made up. */
export interface OutboxSeed {
  readonly channel?: 'event' | 'usage';
  readonly topic?: string;
  readonly key: string;
  readonly payload?: Readonly<Record<string, string | number>>;
}

/** Writes rows in the order given, in one statement. */
export async function writeOutbox(store: Store, seeds: readonly OutboxSeed[]): Promise<void> {
  const rows = seeds.map(({ channel = 'event', topic = 'device.allocated', key, payload = {} }) => ({ channel, topic, key, payload }));
  await store.prisma.outboxEntry.createMany({ data: rows });
}

/** Rows that come one after the other for each of several allocations: `payload.step` counts within the allocation. */
export function steps(keys: number, perKey: number): { key: string; payload: { allocationId: string; step: number } }[] {
  const ids = Array.from({ length: keys }, () => randomUUID());
  return Array.from({ length: perKey }, (_, step) => ids.map((key) => ({ key, payload: { allocationId: key, step } }))).flat();
}

/** How many rows of a channel are in each state. */
export async function outboxStates(store: Store, channel: string): Promise<Record<string, number>> {
  const rows = await store.prisma.outboxEntry.groupBy({ by: ['status'], where: { channel }, _count: true });
  return Object.fromEntries(rows.map(({ status, _count }) => [status, _count]));
}

/** Writes ended allocations that are owed to billing. @returns their ids */
export async function writeOwed(store: Store, count: number): Promise<string[]> {
  const rows = await store.prisma.$queryRaw<{ id: string }[]>`
    WITH device AS (
      INSERT INTO devices (id, name, type, status, provider_type, cpu_cores, memory_mb, storage_mb)
      SELECT gen_random_uuid(), 'phone', 'phone', 'running', 'redroid', 2, 2048, 16384 FROM generate_series(1, ${count})
      RETURNING *
    ), ended AS (
      INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, status, fence, strategy, duration_minutes,
        cpu_cores, memory_mb, storage_mb, allocated_at, expires_at, ended_at, end_reason)
      SELECT gen_random_uuid(), gen_random_uuid(), id, name, 'ann', 'standard', 'released', 1, 'resource_based', 60,
        cpu_cores, memory_mb, storage_mb, now() - interval '10 minutes', now() + interval '50 minutes', now(), 'released' FROM device
      RETURNING *
    )
    INSERT INTO ledger (allocation_id, device_id, device_name, user_id, cpu_cores, memory_mb, storage_mb, started_at, ended_at, duration_seconds, end_reason)
    SELECT id, device_id, device_name, user_id, cpu_cores, memory_mb, storage_mb, allocated_at, ended_at,
      floor(extract(epoch FROM ended_at - allocated_at)), end_reason FROM ended
    RETURNING allocation_id::text AS id`;
  return rows.map(({ id }) => id);
}

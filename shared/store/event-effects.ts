import type { Transaction } from './store.ts';

/**
 * Notes that an event was taken. To be the first statement of what it causes, in the same transaction.
 *
 * @returns false for one that was taken before: nothing more is to be done
 */
export async function takeEvent(tx: Transaction, eventId: string, topic: string): Promise<boolean> {
  const taken = await tx.$executeRaw`
    WITH arrived AS (DELETE FROM arrived_events WHERE event_id = ${eventId})
    INSERT INTO inbox (event_id, topic) VALUES (${eventId}, ${topic}) ON CONFLICT (event_id) DO NOTHING`;
  return taken === 1;
}

/** A live allocation and what was asked for when it was granted. */
export interface HeldDevice {
  readonly allocationId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: 'free' | 'standard' | 'vip' | 'premium' | 'enterprise';
  readonly deviceType: 'phone' | 'tablet';
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  /** Whole minutes until its end, at least one. */
  readonly minutesLeft: number;
}

/** A device, locked. `held`: who has it, locked too. */
export interface LockedHold {
  readonly status: string;
  readonly held: HeldDevice | undefined;
}

/**
 * Locks a device with its lease, the lease first, as everybody does who ends one.
 *
 * @returns undefined for a device nobody knows
 */
export async function lockHold(tx: Transaction, deviceId: string): Promise<LockedHold | undefined> {
  await tx.$queryRaw`SELECT id FROM allocations WHERE device_id = ${deviceId}::uuid AND status = 'allocated' FOR UPDATE`;
  const [device] = await tx.$queryRaw<{ status: string }[]>`SELECT status FROM devices WHERE id = ${deviceId}::uuid FOR UPDATE`;
  if (device === undefined) return undefined;
  const [held] = await tx.$queryRaw<HeldDevice[]>`
    SELECT a.id::text AS "allocationId", a.user_id AS "userId", a.tenant_id AS "tenantId", a.tier, d.type AS "deviceType", a.cpu_cores AS "cpuCores",
      a.memory_mb AS "memoryMB", a.storage_mb AS "storageMB", greatest(1, ceil(extract(epoch FROM a.expires_at - now()) / 60))::int AS "minutesLeft"
    FROM allocations a JOIN devices d ON d.id = a.device_id WHERE a.device_id = ${deviceId}::uuid AND a.status = 'allocated' FOR UPDATE OF a`;
  return { ...device, held };
}

/** Changes the status of a locked device; a deleted one stays deleted. @returns the status it has now */
export async function setDeviceStatus(tx: Transaction, deviceId: string, status: string): Promise<string> {
  const [device] = await tx.$queryRaw<{ status: string }[]>`
    UPDATE devices SET status = CASE WHEN status = 'deleted' THEN 'deleted' ELSE ${status} END, updated_at = now() WHERE id = ${deviceId}::uuid RETURNING status`;
  if (device === undefined) throw new Error(`device ${deviceId} was locked and is gone`);
  return device.status;
}

/** How a device is doing. Percent; what is not said stays as it is. */
export interface Health {
  readonly cpuUsage?: number | null | undefined;
  readonly memoryUsage?: number | null | undefined;
  readonly storageUsage?: number | null | undefined;
  readonly healthScore?: number | null | undefined;
}

/** Notes how a device is doing. @returns whether it is known */
export async function noteHealth(tx: Transaction, deviceId: string, health: Health): Promise<boolean> {
  const changed = await tx.$executeRaw`
    UPDATE devices SET cpu_usage = coalesce(${health.cpuUsage ?? null}::float8, cpu_usage), memory_usage = coalesce(${health.memoryUsage ?? null}::float8, memory_usage),
      storage_usage = coalesce(${health.storageUsage ?? null}::float8, storage_usage), health_score = coalesce(${health.healthScore ?? null}::float8, health_score), updated_at = now()
    WHERE id = ${deviceId}::uuid`;
  return changed === 1;
}

/** What is written of a user; what is left out stays as it is. */
export interface UserChange {
  readonly state?: 'active' | 'suspended' | 'deleted';
  readonly arrears?: boolean;
  /** `add` one failure, or forget them all. */
  readonly paymentFailures?: 'add' | 'forget';
}

/** A user after a change. */
export interface UserAfter {
  readonly paymentFailures: number;
  readonly wasInArrears: boolean;
}

/**
 * Changes a user and keeps the lock every grant to the user takes: a grant is either there to be ended, or sees the change.
 */
export async function changeUser(tx: Transaction, userId: string, change: UserChange): Promise<UserAfter> {
  const { state = null, arrears = null, paymentFailures = null } = change;
  await tx.$executeRaw`INSERT INTO users (id) VALUES (${userId}) ON CONFLICT (id) DO NOTHING`;
  const [row] = await tx.$queryRaw<UserAfter[]>`
    WITH before AS (SELECT id, arrears_since FROM users WHERE id = ${userId} FOR UPDATE)
    UPDATE users u SET state = coalesce(${state}, u.state),
      arrears_since = CASE ${arrears}::boolean WHEN true THEN coalesce(u.arrears_since, now()) WHEN false THEN NULL ELSE u.arrears_since END,
      payment_failures = CASE ${paymentFailures} WHEN 'add' THEN u.payment_failures + 1 WHEN 'forget' THEN 0 ELSE u.payment_failures END,
      updated_at = now()
    FROM before WHERE u.id = before.id
    RETURNING u.payment_failures AS "paymentFailures", before.arrears_since IS NOT NULL AS "wasInArrears"`;
  if (row === undefined) throw new Error(`user ${userId} was written and is gone`);
  return row;
}

/** The live allocations of a user, the oldest first. To be read under the user's lock. */
export async function liveAllocationsOf(tx: Transaction, userId: string): Promise<readonly string[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id::text AS id FROM allocations WHERE user_id = ${userId} AND ended_at IS NULL ORDER BY allocated_at, id`;
  return rows.map(({ id }) => id);
}

/** The live allocation of a device, if this user holds it. */
export async function liveAllocationOn(tx: Transaction, deviceId: string, userId: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    SELECT id::text AS id FROM allocations WHERE device_id = ${deviceId}::uuid AND user_id = ${userId} AND status = 'allocated' FOR UPDATE`;
  return row?.id;
}

/** What a blocked user still has: requests nobody has decided and reservations that have not begun. Nothing of one who may go on. */
export async function leftOfBlocked(
  tx: Transaction,
  userId: string,
): Promise<{ requests: readonly string[]; reservations: readonly string[] }> {
  const rows = await tx.$queryRaw<{ kind: 'request' | 'reservation'; id: string }[]>`
    WITH blocked AS (SELECT id FROM users WHERE id = ${userId} AND (state <> 'active' OR arrears_since IS NOT NULL))
    SELECT 'request' AS kind, r.id::text AS id FROM blocked JOIN requests r ON r.user_id = blocked.id AND r.status IN ('pending', 'waiting')
    UNION ALL
    SELECT 'reservation', v.id::text FROM blocked JOIN reservations v ON v.user_id = blocked.id AND v.status IN ('pending', 'confirmed')`;
  const of = (kind: string) => rows.filter((row) => row.kind === kind).map(({ id }) => id);
  return { requests: of('request'), reservations: of('reservation') };
}

/** Writes an event that answers one of another service. */
export async function answerEvent(tx: Transaction, topic: string, key: string, payload: Readonly<Record<string, unknown>>): Promise<void> {
  await tx.$executeRaw`INSERT INTO outbox (channel, topic, key, payload) VALUES ('event', ${topic}, ${key}, ${JSON.stringify(payload)}::jsonb)`;
}

import { randomUUID } from 'node:crypto';
import pg from 'pg';

/** A row by column name; what a test leaves out comes from `VALID`. */
export type PlainRow = Readonly<Record<string, string | number | boolean | null>>;

/** Two devices, an ended allocation and a series are there before every attempt. */
export const DEVICE = '00000000-0000-4000-8000-000000000001';
export const OTHER_DEVICE = '00000000-0000-4000-8000-000000000002';
export const ALLOCATION = '00000000-0000-4000-8000-000000000003';
export const SERIES = '00000000-0000-4000-8000-000000000004';

const START = '2026-01-01T10:00:00Z';
const END = '2026-01-01T11:00:00Z';

/** A row of each table that every constraint accepts. */
export const VALID: Readonly<Record<string, () => PlainRow>> = {
  users: () => ({ id: randomUUID() }),
  devices: () => ({
    id: randomUUID(),
    name: 'phone',
    type: 'phone',
    status: 'running',
    provider_type: 'redroid',
    cpu_cores: 4,
    memory_mb: 8192,
    storage_mb: 65_536,
  }),
  allocations: () => ({
    id: randomUUID(),
    request_id: randomUUID(),
    device_id: DEVICE,
    device_name: 'phone',
    user_id: 'ann',
    tier: 'standard',
    fence: 7,
    strategy: 'resource_based',
    duration_minutes: 60,
    cpu_cores: 4,
    memory_mb: 8192,
    storage_mb: 65_536,
    allocated_at: START,
    expires_at: END,
  }),
  requests: () => ({ id: randomUUID(), caller: 'ann', source: 'http', user_id: 'ann', tier: 'standard', asked: '{}' }),
  extensions: () => ({
    id: randomUUID(),
    allocation_id: ALLOCATION,
    extend_count: 1,
    minutes: 60,
    total_minutes: 120,
    old_expires_at: END,
    new_expires_at: '2026-01-01T12:00:00Z',
    automatic: false,
    balance_unchecked: false,
    extended_by: 'user:ann',
  }),
  ledger: () => ({
    allocation_id: ALLOCATION,
    device_id: DEVICE,
    device_name: 'phone',
    user_id: 'ann',
    cpu_cores: 4,
    memory_mb: 8192,
    storage_mb: 65_536,
    started_at: START,
    ended_at: END,
    duration_seconds: 3600,
    end_reason: 'released',
  }),
  outbox: () => ({ channel: 'event', topic: 'device.allocated', key: ALLOCATION, payload: '{}' }),
  arrived_events: () => ({ event_id: randomUUID(), topic: 'device.deleted', action: '{}' }),
  inbox: () => ({ event_id: randomUUID(), topic: 'device.deleted' }),
  idempotency_keys: () => ({ caller: 'ann', key: randomUUID(), route: 'POST /x', body_hash: 'h', locked_until: END }),
  settings: () => ({ name: randomUUID(), value: '{}', updated_by: 'root' }),
  strategies: () => ({ id: randomUUID(), name: randomUUID(), type: 'resource_based' }),
  reservation_series: () => ({
    id: randomUUID(),
    user_id: 'ann',
    user_tier: 'standard',
    asked: '{}',
    recurrence: '{}',
    first_starts_at: START,
    next_starts_at: END,
  }),
  node_loads: () => ({ node_id: randomUUID(), region: 'north', provider_type: 'redroid', held: 0, seat: 1 }),
  reservations: () => ({
    id: randomUUID(),
    user_id: randomUUID(),
    user_tier: 'standard',
    device_id: DEVICE,
    starts_at: START,
    ends_at: END,
    blocked_until: END,
  }),
  scheduled_runs: () => ({ job: randomUUID(), last_run_at: START, last_duration_ms: 1, last_result: '{}' }),
  listening: () => ({ since: START, heard_until: END }),
  stuck_ends: () => ({ allocation_id: randomUUID(), last_error: 'refused', next_attempt_at: END }),
  stats_snapshots: () => ({
    hour: START,
    granted: 1,
    refused: 0,
    released: 1,
    expired: 0,
    live_allocations: 0,
    waiting_requests: 0,
    devices: 2,
    available_devices: 2,
  }),
  audit: () => ({ actor: 'ops', role: 'operator', action: 'release', target: ALLOCATION, address: '127.0.0.1', request_id: randomUUID() }),
  leases: () => ({ name: randomUUID(), holder: 'me', held_until: END }),
};

/** Writes one row by plain SQL; `overrides` go over the valid row of the table. */
export async function insertPlain(client: pg.Client, table: string, overrides: PlainRow): Promise<void> {
  const row = { ...VALID[table]?.(), ...overrides };
  const columns = Object.keys(row).map((column) => pg.escapeIdentifier(column));
  const places = columns.map((_, index) => `$${index + 1}`);
  await client.query(
    `INSERT INTO ${pg.escapeIdentifier(table)} (${columns.join(', ')}) OVERRIDING SYSTEM VALUE VALUES (${places.join(', ')})`,
    Object.values(row),
  );
}

/** Writes what every attempt stands on. */
export async function insertGround(client: pg.Client): Promise<void> {
  await insertPlain(client, 'devices', { id: DEVICE });
  await insertPlain(client, 'devices', { id: OTHER_DEVICE });
  await insertPlain(client, 'reservation_series', { id: SERIES });
  await insertPlain(client, 'allocations', { id: ALLOCATION, fence: 1, status: 'released', ended_at: END, end_reason: 'released' });
}

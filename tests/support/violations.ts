import { ALLOCATION, DEVICE, OTHER_DEVICE, type PlainRow, SERIES } from './plain-rows.ts';

/** An attempt against a constraint: the rows are written in order, and the last one must be refused by it. */
export interface Violation {
  readonly constraint: string;
  readonly table: string;
  readonly rows: readonly PlainRow[];
}

const ID = '00000000-0000-4000-8000-00000000000a';
const END = '2026-01-01T11:00:00Z';
const BEFORE = '2026-01-01T09:00:00Z';

const WAITING: PlainRow = { status: 'waiting', waiting_since: BEFORE, flow: 'u:ann', rank_at: BEFORE, needs: '{0,0,0,0,1,1,1}' };

const of = (table: string, constraints: Readonly<Record<string, readonly PlainRow[] | readonly (readonly PlainRow[])[]>>): Violation[] =>
  Object.entries(constraints).flatMap(([constraint, attempts]) =>
    attempts.map((attempt) => ({ constraint, table, rows: Array.isArray(attempt) ? attempt : [attempt as PlainRow] })),
  );
const twice = (row: PlainRow): readonly (readonly PlainRow[])[] => [[row, row]];

/** At least one attempt for every constraint and unique index of the schema. A row alone breaks a rule by itself. */
export const VIOLATIONS: readonly Violation[] = [
  ...of('users', {
    users_pkey: twice({ id: 'ann' }),
    users_id_length: [{ id: '' }, { id: 'x'.repeat(129) }],
    users_state_known: [{ state: 'asleep' }],
    users_payment_failures_natural: [{ payment_failures: -1 }],
  }),
  ...of('devices', {
    devices_pkey: twice({ id: ID }),
    devices_name_length: [{ name: '' }, { name: 'x'.repeat(201) }],
    devices_type_known: [{ type: 'watch' }],
    devices_status_known: [{ status: 'lost' }],
    devices_provider_known: [{ provider_type: 'nobody' }],
    devices_capacity_positive: [{ cpu_cores: 0 }, { memory_mb: 0 }, { storage_mb: 0 }],
    devices_usage_percent: [{ cpu_usage: 101 }, { memory_usage: -1 }, { storage_usage: 101 }, { health_score: -1 }],
    devices_cost_natural: [{ cost_per_hour: -0.01 }],
    devices_adb_port_range: [{ adb_port: 0 }, { adb_port: 65_536 }],
    devices_fence_natural: [{ fence: -1 }],
  }),
  ...of('allocations', {
    allocations_pkey: twice({ id: ID, status: 'released', ended_at: END, end_reason: 'released' }),
    allocations_device_id_fkey: [{ device_id: ID }],
    allocations_one_per_request: [
      [
        { request_id: ID, device_id: DEVICE },
        { request_id: ID, device_id: OTHER_DEVICE },
      ],
    ],
    allocations_one_live_per_device: [[{ fence: 7 }, { fence: 8 }]],
    allocations_fence_once: [{ fence: 1 }],
    allocations_status_known: [{ status: 'lost', ended_at: END, end_reason: 'released' }],
    allocations_tier_known: [{ tier: 'gold' }],
    allocations_end_reason_known: [{ status: 'released', ended_at: END, end_reason: 'whim' }],
    allocations_ended_whole: [
      { ended_at: END, end_reason: 'released' },
      { status: 'released' },
      { status: 'released', ended_at: END },
      { end_reason: 'released' },
    ],
    allocations_time_forward: [{ expires_at: BEFORE }, { status: 'released', ended_at: BEFORE, end_reason: 'released' }],
    allocations_duration_positive: [{ duration_minutes: 0 }],
    allocations_fence_positive: [{ fence: 0 }],
    allocations_extend_count_natural: [{ extend_count: -1 }],
    allocations_release_id_ended: [{ release_id: ID }],
    allocations_heartbeat_watched: [{ heartbeat_seconds: 10 }, { heartbeat_check_at: END }],
    allocations_heartbeat_range: [{ heartbeat_seconds: 9 }, { heartbeat_seconds: 3601 }],
  }),
  ...of('extensions', {
    extensions_pkey: [
      [
        { id: ID, extend_count: 1 },
        { id: ID, extend_count: 2 },
      ],
    ],
    extensions_allocation_id_fkey: [{ allocation_id: ID }],
    extensions_count_once: twice({ extend_count: 1 }),
    extensions_count_positive: [{ extend_count: 0 }],
    extensions_minutes_range: [
      { minutes: 0, new_expires_at: END },
      { minutes: 1441, total_minutes: 1500, new_expires_at: '2026-01-02T11:01:00Z' },
    ],
    extensions_total_above_minutes: [{ total_minutes: 60 }],
    extensions_minutes_exact: [{ minutes: 59 }, { minutes: 61 }],
  }),
  ...of('requests', {
    requests_pkey: twice({ id: ID }),
    requests_status_known: [{ status: 'lost', decided_at: END }],
    requests_source_known: [{ source: 'rumour' }],
    requests_tier_known: [{ tier: 'gold' }],
    requests_granted_whole: [{ status: 'granted', decided_at: END }, { allocation_id: ALLOCATION }],
    requests_refused_whole: [{ status: 'refused', decided_at: END }],
    requests_decided_whole: [{ decided_at: END }, { status: 'cancelled' }],
    requests_waiting_whole: ['waiting_since', 'flow', 'rank_at', 'needs'].map((missing) => ({ ...WAITING, [missing]: null })),
    requests_needs_whole: [
      { ...WAITING, needs: '{0,0,0,0,1,1}' },
      { ...WAITING, needs: '{3,0,0,0,1,1,1}' },
    ],
    requests_parked_known: [{ ...WAITING, parked: 'WHIM', parked_at: END }],
    requests_parked_whole: [
      { ...WAITING, parked: 'BALANCE' },
      { ...WAITING, parked_at: END },
    ],
    requests_retry_count_natural: [{ retry_count: -1 }],
    requests_estimate_forward: [{ estimated_p50: END }, { estimated_p90: END }, { estimated_p50: END, estimated_p90: BEFORE }],
    requests_one_entry_of_user: twice({ ...WAITING, joined: true }),
  }),
  ...of('ledger', {
    ledger_pkey: twice({}),
    ledger_allocation_id_fkey: [{ allocation_id: ID }],
    ledger_status_known: [{ status: 'forgotten' }],
    ledger_settled_whole: [{ status: 'settled' }, { settled_at: END }],
    ledger_seconds_exact: [{ duration_seconds: 3599 }, { duration_seconds: 3601 }],
  }),
  ...of('outbox', {
    outbox_pkey: twice({ id: 1 }),
    outbox_channel_known: [{ channel: 'pigeon' }],
    outbox_status_known: [{ status: 'lost' }],
    outbox_delivered_whole: [{ status: 'delivered' }, { delivered_at: END }],
    outbox_notice_once: twice({ channel: 'notice', event_id: ID }),
  }),
  ...of('arrived_events', { arrived_events_pkey: twice({ event_id: 'one' }) }),
  ...of('inbox', { inbox_pkey: twice({ event_id: 'one' }) }),
  ...of('idempotency_keys', {
    idempotency_keys_pkey: twice({ key: 'one' }),
    idempotency_keys_length: [{ key: '' }, { key: 'x'.repeat(256) }],
  }),
  ...of('settings', { settings_pkey: twice({ name: 'one' }) }),
  ...of('strategies', {
    strategies_pkey: [
      [
        { id: ID, name: 'one' },
        { id: ID, name: 'two' },
      ],
    ],
    strategies_name_once: twice({ name: 'one' }),
    strategies_type_known: [{ type: 'dice' }],
    strategies_priority_range: [{ priority: 0 }, { priority: 1001 }],
    strategies_one_active: [{ active: true }],
  }),
  ...of('node_loads', {
    node_loads_pkey: twice({ node_id: 'one' }),
    node_loads_held_natural: [{ held: -1 }],
  }),
  ...of('reservation_series', {
    reservation_series_pkey: twice({ id: ID }),
    reservation_series_status_known: [{ status: 'lost', next_starts_at: END }],
    reservation_series_tier_known: [{ user_tier: 'gold' }],
    reservation_series_next_whole: [{ next_starts_at: null }],
    reservation_series_next_natural: [{ next_index: -1 }],
  }),
  ...of('reservations', {
    reservations_pkey: twice({ id: ID, status: 'cancelled' }),
    reservations_device_id_fkey: [{ device_id: ID }],
    reservations_status_known: [{ status: 'lost' }],
    reservations_tier_known: [{ user_tier: 'gold' }],
    reservations_time_forward: [{ starts_at: END, ends_at: END, blocked_until: END }, { blocked_until: BEFORE }],
    reservations_reminder_range: [{ remind_before_minutes: -1 }, { remind_before_minutes: 61 }],
    reservations_confirmed_has_device: [
      { status: 'confirmed', device_id: null },
      { status: 'executing', device_id: null, allocation_id: ALLOCATION },
    ],
    reservations_series_id_fkey: [{ series_id: ID, series_index: 0 }],
    reservations_series_whole: [{ series_index: 0 }],
    reservations_executing_has_allocation: [{ status: 'executing' }],
    reservations_failed_says_why: [{ status: 'failed' }],
    reservations_attempts_natural: [{ attempts: -1 }],
    reservations_one_per_occurrence: twice({ series_id: SERIES, series_index: 0, status: 'cancelled' }),
    reservations_one_per_allocation: twice({ allocation_id: ALLOCATION, status: 'completed' }),
    reservations_no_overlap_on_device: [
      [{}, {}],
      // The turnaround gap of the first reaches into the second.
      [
        { blocked_until: '2026-01-01T11:05:00Z' },
        { starts_at: END, ends_at: '2026-01-01T12:00:00Z', blocked_until: '2026-01-01T12:00:00Z' },
      ],
    ],
    reservations_no_overlap_of_user: [
      [
        { user_id: 'ann', device_id: DEVICE },
        { user_id: 'ann', device_id: OTHER_DEVICE },
      ],
    ],
  }),
  ...of('scheduled_runs', {
    scheduled_runs_pkey: twice({ job: 'expire' }),
    scheduled_runs_held_whole: [{ holder: 'me' }, { held_until: END }],
    scheduled_runs_paused_whole: [{ paused_at: END }, { paused_by: 'root' }],
  }),
  ...of('listening', {
    listening_pkey: twice({}),
    listening_one_row: [{ one: false }],
    listening_time_forward: [{ heard_until: BEFORE }],
  }),
  ...of('stuck_ends', {
    stuck_ends_pkey: twice({ allocation_id: ID }),
    stuck_ends_attempts_positive: [{ attempts: 0 }],
  }),
  ...of('stats_snapshots', {
    stats_snapshots_pkey: twice({}),
    stats_snapshots_whole_hour: [{ hour: '2026-01-01T10:30:00Z' }],
  }),
  ...of('audit', {
    audit_pkey: twice({ id: 1 }),
    audit_role_known: [{ role: 'root' }],
    audit_action_length: [{ action: '' }, { action: 'x'.repeat(201) }],
    audit_status_range: [{ status: 99 }, { status: 600 }],
    audit_once_per_request: twice({ request_id: ID }),
  }),
  ...of('leases', { leases_pkey: twice({ name: 'relay' }) }),
];

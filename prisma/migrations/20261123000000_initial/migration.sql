-- The first shape of the store. Constraints are the invariants of docs/principles.md; each has a test that tries to
-- break it by plain SQL (tests/flows/schema.test.ts). Each index is named after the query it serves.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Users: blocks and last known limits. The row is also the per-user lock of a grant.
CREATE TABLE users (
  id                text PRIMARY KEY,
  tenant_id         text,
  state             text NOT NULL DEFAULT 'active',
  arrears_since     timestamptz(3),
  payment_failures  integer NOT NULL DEFAULT 0,
  limits            jsonb,
  limits_fetched_at timestamptz(3),
  updated_at        timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT users_id_length CHECK (length(id) BETWEEN 1 AND 128),
  CONSTRAINT users_state_known CHECK (state IN ('active', 'suspended', 'deleted')),
  CONSTRAINT users_payment_failures_natural CHECK (payment_failures >= 0)
);

CREATE TABLE devices (
  id              uuid PRIMARY KEY,
  tenant_id       text,
  name            text NOT NULL,
  type            text NOT NULL,
  status          text NOT NULL,
  provider_type   text NOT NULL,
  node_id         text,
  region          text,
  cpu_cores       integer NOT NULL,
  memory_mb       integer NOT NULL,
  storage_mb      integer NOT NULL,
  cpu_usage       double precision NOT NULL DEFAULT 0,
  memory_usage    double precision NOT NULL DEFAULT 0,
  storage_usage   double precision NOT NULL DEFAULT 0,
  health_score    double precision NOT NULL DEFAULT 100,
  cost_per_hour   double precision,
  android_version text,
  adb_host        text,
  adb_port        integer,
  draining        boolean NOT NULL DEFAULT false,
  cleaning_until  timestamptz(3),
  allocation_id   uuid,
  fence           bigint NOT NULL DEFAULT 0,
  -- Free capacity in the units of shared/placement/resource-score.ts; the same arithmetic in the same order.
  resource_score  double precision NOT NULL GENERATED ALWAYS AS (
    cpu_cores * (100 - cpu_usage) / 8 * 0.4 + memory_mb * (100 - memory_usage) / 16384 * 0.4 + storage_mb * (100 - storage_usage) / 131072 * 0.2
  ) STORED,
  created_at      timestamptz(3) NOT NULL DEFAULT now(),
  updated_at      timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT devices_name_length CHECK (length(name) BETWEEN 1 AND 200),
  CONSTRAINT devices_type_known CHECK (type IN ('phone', 'tablet')),
  CONSTRAINT devices_status_known CHECK (status IN ('creating', 'idle', 'running', 'stopped', 'paused', 'maintenance', 'error', 'deleted')),
  CONSTRAINT devices_provider_known CHECK (provider_type IN ('redroid', 'huawei_cph', 'aliyun_ecp', 'physical', 'tencent_gs', 'baidu_bac', 'aws_device_farm', 'genymotion', 'browserstack')),
  CONSTRAINT devices_capacity_positive CHECK (cpu_cores > 0 AND memory_mb > 0 AND storage_mb > 0),
  CONSTRAINT devices_usage_percent CHECK (cpu_usage BETWEEN 0 AND 100 AND memory_usage BETWEEN 0 AND 100 AND storage_usage BETWEEN 0 AND 100 AND health_score BETWEEN 0 AND 100),
  CONSTRAINT devices_cost_natural CHECK (cost_per_hour >= 0),
  CONSTRAINT devices_adb_port_range CHECK (adb_port BETWEEN 1 AND 65535),
  CONSTRAINT devices_fence_natural CHECK (fence >= 0)
);

-- Free devices, best first: what placement walks. Only free devices are in it, so its size is the free fleet.
CREATE INDEX devices_place_best ON devices (resource_score DESC, id) WHERE status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL;
CREATE INDEX devices_place_best_of_type ON devices (type, resource_score DESC, id) WHERE status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL;
CREATE INDEX devices_place_in_region ON devices (region, resource_score DESC, id) WHERE status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL;
CREATE INDEX devices_list_available ON devices (id) WHERE status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL;
CREATE INDEX devices_end_cleaning ON devices (cleaning_until) WHERE cleaning_until IS NOT NULL;
CREATE INDEX devices_of_tenant ON devices (tenant_id) WHERE tenant_id IS NOT NULL;
-- Could any device of the fleet ever match (NO_MATCHING_DEVICE)?
CREATE INDEX devices_could_match ON devices (cpu_cores, memory_mb, storage_mb) WHERE status <> 'deleted';

CREATE TABLE allocations (
  id                uuid PRIMARY KEY,
  request_id        uuid NOT NULL,
  device_id         uuid NOT NULL REFERENCES devices (id),
  device_name       text NOT NULL,
  user_id           text NOT NULL,
  tenant_id         text,
  tier              text NOT NULL,
  status            text NOT NULL DEFAULT 'allocated',
  fence             bigint NOT NULL,
  strategy          text NOT NULL,
  duration_minutes  integer NOT NULL,
  cpu_cores         integer NOT NULL,
  memory_mb         integer NOT NULL,
  storage_mb        integer NOT NULL,
  balance_unchecked boolean NOT NULL DEFAULT false,
  quota_unchecked   boolean NOT NULL DEFAULT false,
  heartbeat_seconds integer,
  last_heartbeat_at timestamptz(3),
  auto_extend       boolean NOT NULL DEFAULT false,
  extend_count      integer NOT NULL DEFAULT 0,
  last_extended_at  timestamptz(3),
  allocated_at      timestamptz(3) NOT NULL,
  expires_at        timestamptz(3) NOT NULL,
  ended_at          timestamptz(3),
  end_reason        text,
  CONSTRAINT allocations_one_per_request UNIQUE (request_id),
  CONSTRAINT allocations_status_known CHECK (status IN ('allocated', 'released', 'expired')),
  CONSTRAINT allocations_tier_known CHECK (tier IN ('free', 'standard', 'vip', 'premium', 'enterprise')),
  CONSTRAINT allocations_end_reason_known CHECK (end_reason IN ('released', 'batch_released', 'admin_released', 'expired', 'holder_lost', 'device_failed', 'device_maintenance', 'device_deleted', 'user_deleted', 'user_suspended', 'quota_reduced', 'arrears', 'reservation_ended', 'no_show', 'order_released')),
  CONSTRAINT allocations_ended_whole CHECK ((status = 'allocated') = (ended_at IS NULL) AND (ended_at IS NULL) = (end_reason IS NULL)),
  CONSTRAINT allocations_time_forward CHECK (expires_at > allocated_at AND ended_at >= allocated_at),
  CONSTRAINT allocations_duration_positive CHECK (duration_minutes > 0),
  CONSTRAINT allocations_fence_positive CHECK (fence > 0),
  CONSTRAINT allocations_extend_count_natural CHECK (extend_count >= 0),
  CONSTRAINT allocations_heartbeat_range CHECK (heartbeat_seconds BETWEEN 10 AND 3600)
);

-- Invariant 1: at most one live allocation per device.
CREATE UNIQUE INDEX allocations_one_live_per_device ON allocations (device_id) WHERE status = 'allocated';
-- Invariant 2: a device's fence is handed out once.
CREATE UNIQUE INDEX allocations_fence_once ON allocations (device_id, fence);
CREATE INDEX allocations_due ON allocations (expires_at, id) WHERE status = 'allocated';
CREATE INDEX allocations_history_of_user ON allocations (user_id, allocated_at DESC, id DESC);
-- After the history: of two indexes that look equally good while the table is empty, the planner takes the younger one.
CREATE INDEX allocations_live_of_user ON allocations (user_id) WHERE ended_at IS NULL;
CREATE INDEX allocations_ended ON allocations (ended_at, id) WHERE status <> 'allocated';

CREATE TABLE requests (
  id               uuid PRIMARY KEY,
  caller           text NOT NULL,
  source           text NOT NULL,
  user_id          text NOT NULL,
  tenant_id        text,
  tier             text NOT NULL,
  status           text NOT NULL DEFAULT 'pending',
  asked            jsonb NOT NULL,
  trace_id         text,
  code             text,
  details          jsonb,
  allocation_id    uuid,
  created_at       timestamptz(3) NOT NULL DEFAULT now(),
  deadline         timestamptz(3),
  waiting_since    timestamptz(3),
  enqueued_at      timestamptz(3) NOT NULL DEFAULT now(),
  decided_at       timestamptz(3),
  CONSTRAINT requests_status_known CHECK (status IN ('pending', 'waiting', 'granted', 'refused', 'cancelled', 'timed_out')),
  CONSTRAINT requests_source_known CHECK (source IN ('http', 'client', 'event')),
  CONSTRAINT requests_tier_known CHECK (tier IN ('free', 'standard', 'vip', 'premium', 'enterprise')),
  CONSTRAINT requests_granted_whole CHECK ((status = 'granted') = (allocation_id IS NOT NULL)),
  CONSTRAINT requests_refused_whole CHECK (status <> 'refused' OR code IS NOT NULL),
  CONSTRAINT requests_decided_whole CHECK ((status IN ('pending', 'waiting')) = (decided_at IS NULL))
);

CREATE INDEX requests_undecided ON requests (enqueued_at, id) WHERE status = 'pending';
CREATE INDEX requests_waiting ON requests (tier, waiting_since, id) WHERE status = 'waiting';
CREATE INDEX requests_past_deadline ON requests (deadline) WHERE status IN ('pending', 'waiting') AND deadline IS NOT NULL;
CREATE INDEX requests_of_day ON requests (created_at DESC);

-- What is owed to billing: one row per ended allocation, written by the statement that ends it.
CREATE TABLE ledger (
  allocation_id    uuid PRIMARY KEY REFERENCES allocations (id),
  device_id        uuid NOT NULL,
  device_name      text NOT NULL,
  user_id          text NOT NULL,
  tenant_id        text,
  cpu_cores        integer NOT NULL,
  memory_mb        integer NOT NULL,
  storage_mb       integer NOT NULL,
  started_at       timestamptz(3) NOT NULL,
  ended_at         timestamptz(3) NOT NULL,
  duration_seconds integer NOT NULL,
  end_reason       text NOT NULL,
  status           text NOT NULL DEFAULT 'owed',
  attempts         integer NOT NULL DEFAULT 0,
  last_error       text,
  next_attempt_at  timestamptz(3) NOT NULL DEFAULT now(),
  settled_at       timestamptz(3),
  CONSTRAINT ledger_status_known CHECK (status IN ('owed', 'settled', 'dead')),
  CONSTRAINT ledger_settled_whole CHECK ((status = 'settled') = (settled_at IS NOT NULL)),
  CONSTRAINT ledger_seconds_exact CHECK (duration_seconds = floor(extract(epoch FROM ended_at - started_at)))
);

CREATE INDEX ledger_owed ON ledger (next_attempt_at, allocation_id) WHERE status = 'owed';
CREATE INDEX ledger_dead ON ledger (ended_at, allocation_id) WHERE status = 'dead';

-- What leaves: written by the statement that changes the state, delivered by relay and delivery workers.
CREATE TABLE outbox (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id        uuid NOT NULL DEFAULT gen_random_uuid(),
  channel         text NOT NULL,
  topic           text NOT NULL,
  key             text NOT NULL,
  payload         jsonb NOT NULL,
  trace_id        text,
  status          text NOT NULL DEFAULT 'pending',
  attempts        integer NOT NULL DEFAULT 0,
  last_error      text,
  created_at      timestamptz(3) NOT NULL DEFAULT now(),
  next_attempt_at timestamptz(3) NOT NULL DEFAULT now(),
  delivered_at    timestamptz(3),
  CONSTRAINT outbox_channel_known CHECK (channel IN ('event', 'usage', 'notification')),
  CONSTRAINT outbox_status_known CHECK (status IN ('pending', 'delivered', 'dead')),
  CONSTRAINT outbox_delivered_whole CHECK ((status = 'delivered') = (delivered_at IS NOT NULL))
);

-- In order per key: the relay takes the lowest id of a key that is not delivered.
CREATE INDEX outbox_pending ON outbox (channel, id) WHERE status = 'pending';
CREATE INDEX outbox_head_of_key ON outbox (channel, key, id) WHERE status = 'pending';
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE status = 'delivered';

-- What has arrived: an event id counts once.
CREATE TABLE inbox (
  event_id     text PRIMARY KEY,
  topic        text NOT NULL,
  received_at  timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX inbox_received ON inbox (received_at);

CREATE TABLE idempotency_keys (
  caller       text NOT NULL,
  key          text NOT NULL,
  route        text NOT NULL,
  body_hash    text NOT NULL,
  status_code  integer,
  headers      jsonb,
  body         text,
  created_at   timestamptz(3) NOT NULL DEFAULT now(),
  locked_until timestamptz(3) NOT NULL,
  PRIMARY KEY (caller, key),
  CONSTRAINT idempotency_keys_length CHECK (length(key) BETWEEN 1 AND 255)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

CREATE TABLE settings (
  name       text PRIMARY KEY,
  value      jsonb NOT NULL,
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_by text NOT NULL
);

CREATE TABLE strategies (
  id          uuid PRIMARY KEY,
  name        text NOT NULL,
  type        text NOT NULL,
  description text,
  config      jsonb NOT NULL DEFAULT '{}',
  priority    integer NOT NULL DEFAULT 100,
  active      boolean NOT NULL DEFAULT false,
  created_at  timestamptz(3) NOT NULL DEFAULT now(),
  updated_at  timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT strategies_name_once UNIQUE (name),
  CONSTRAINT strategies_type_known CHECK (type IN ('round_robin', 'least_connection', 'weighted_round_robin', 'resource_based', 'load_balancing', 'resource_efficiency', 'locality_aware', 'cost_optimization')),
  CONSTRAINT strategies_priority_range CHECK (priority BETWEEN 1 AND 1000)
);
-- Exactly one active: never two by this index, never none by refusing to delete or deactivate the active one.
CREATE UNIQUE INDEX strategies_one_active ON strategies (active) WHERE active;

CREATE TABLE queue_entries (
  id                  uuid PRIMARY KEY,
  user_id             text NOT NULL,
  tenant_id           text,
  user_tier           text NOT NULL,
  status              text NOT NULL DEFAULT 'waiting',
  priority            integer NOT NULL,
  duration_minutes    integer NOT NULL,
  device_type         text,
  min_cpu             integer,
  min_memory          integer,
  max_wait_minutes    integer NOT NULL,
  retry_count         integer NOT NULL DEFAULT 0,
  allocated_device_id uuid,
  allocation_id       uuid,
  created_at          timestamptz(3) NOT NULL DEFAULT now(),
  deadline            timestamptz(3) NOT NULL,
  processed_at        timestamptz(3),
  fulfilled_at        timestamptz(3),
  cancelled_at        timestamptz(3),
  cancel_reason       text,
  expired_at          timestamptz(3),
  expiry_reason       text,
  CONSTRAINT queue_entries_status_known CHECK (status IN ('waiting', 'processing', 'fulfilled', 'expired', 'cancelled')),
  CONSTRAINT queue_entries_tier_known CHECK (user_tier IN ('free', 'standard', 'vip', 'premium', 'enterprise')),
  CONSTRAINT queue_entries_duration_range CHECK (duration_minutes BETWEEN 15 AND 1440),
  CONSTRAINT queue_entries_wait_range CHECK (max_wait_minutes BETWEEN 1 AND 120),
  CONSTRAINT queue_entries_fulfilled_whole CHECK ((status = 'fulfilled') = (allocation_id IS NOT NULL))
);
CREATE UNIQUE INDEX queue_entries_one_active_per_user ON queue_entries (user_id) WHERE status IN ('waiting', 'processing');
CREATE INDEX queue_entries_next ON queue_entries (priority DESC, created_at, id) WHERE status = 'waiting';
CREATE INDEX queue_entries_history_of_user ON queue_entries (user_id, created_at DESC, id DESC);

CREATE TABLE reservations (
  id                    uuid PRIMARY KEY,
  user_id               text NOT NULL,
  tenant_id             text,
  user_tier             text NOT NULL,
  device_id             uuid REFERENCES devices (id),
  status                text NOT NULL DEFAULT 'pending',
  starts_at             timestamptz(3) NOT NULL,
  ends_at               timestamptz(3) NOT NULL,
  -- ends_at plus the turnaround gap in force when it was booked: what the exclusion constraint keeps apart.
  blocked_until         timestamptz(3) NOT NULL,
  device_type           text,
  min_cpu               integer,
  min_memory            integer,
  remind_before_minutes integer NOT NULL DEFAULT 15,
  reminded_at           timestamptz(3),
  allocation_id         uuid,
  cancel_reason         text,
  created_at            timestamptz(3) NOT NULL DEFAULT now(),
  updated_at            timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT reservations_status_known CHECK (status IN ('pending', 'confirmed', 'executing', 'completed', 'failed', 'cancelled', 'expired')),
  CONSTRAINT reservations_tier_known CHECK (user_tier IN ('free', 'standard', 'vip', 'premium', 'enterprise')),
  CONSTRAINT reservations_time_forward CHECK (ends_at > starts_at AND blocked_until >= ends_at),
  CONSTRAINT reservations_reminder_range CHECK (remind_before_minutes BETWEEN 0 AND 60),
  CONSTRAINT reservations_confirmed_has_device CHECK (status NOT IN ('confirmed', 'executing') OR device_id IS NOT NULL),
  -- Invariant 1: reserved ranges of a device never overlap.
  CONSTRAINT reservations_no_overlap_on_device EXCLUDE USING gist (device_id WITH =, tstzrange(starts_at, blocked_until) WITH &&) WHERE (status IN ('pending', 'confirmed', 'executing')),
  CONSTRAINT reservations_no_overlap_of_user EXCLUDE USING gist (user_id WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE (status IN ('pending', 'confirmed', 'executing'))
);
CREATE INDEX reservations_due ON reservations (starts_at, id) WHERE status = 'confirmed';
CREATE INDEX reservations_history_of_user ON reservations (user_id, starts_at DESC, id DESC);

-- A scheduler that stops ticking is seen by its heartbeat.
CREATE TABLE scheduled_runs (
  job              text PRIMARY KEY,
  last_run_at      timestamptz(3) NOT NULL,
  last_duration_ms integer NOT NULL,
  last_result      jsonb NOT NULL
);

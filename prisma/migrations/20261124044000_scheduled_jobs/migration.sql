-- A schedule's row is there before its first run; who runs it holds it, by a lease that runs out by itself.
ALTER TABLE scheduled_runs
  ALTER COLUMN last_run_at DROP NOT NULL,
  ALTER COLUMN last_duration_ms DROP NOT NULL,
  ALTER COLUMN last_result DROP NOT NULL,
  ADD COLUMN last_tick bigint,
  ADD COLUMN last_error text,
  ADD COLUMN holder text,
  ADD COLUMN held_until timestamptz(3),
  ADD COLUMN paused_at timestamptz(3),
  ADD COLUMN paused_by text,
  ADD CONSTRAINT scheduled_runs_held_whole CHECK ((holder IS NULL) = (held_until IS NULL)),
  ADD CONSTRAINT scheduled_runs_paused_whole CHECK ((paused_at IS NULL) = (paused_by IS NULL));

-- When a holder's silence is looked at next. Heartbeats do not move it, so that they touch no index; the look does.
ALTER TABLE allocations ADD COLUMN heartbeat_check_at timestamptz(3), ADD COLUMN expiry_told_for timestamptz(3);
UPDATE allocations SET heartbeat_check_at = allocated_at + make_interval(secs => heartbeat_seconds) WHERE heartbeat_seconds IS NOT NULL;
ALTER TABLE allocations ADD CONSTRAINT allocations_heartbeat_watched CHECK ((heartbeat_seconds IS NULL) = (heartbeat_check_at IS NULL));
CREATE INDEX allocations_heartbeat_check ON allocations (heartbeat_check_at, id) WHERE status = 'allocated' AND heartbeat_check_at IS NOT NULL;
-- Room on each page for the next version of a row: a heartbeat is then a heap-only update.
ALTER TABLE allocations SET (fillfactor = 90);

-- Since when, and until when, heartbeats could be heard: silence before that says nothing. One row.
CREATE TABLE listening (
  one         boolean PRIMARY KEY DEFAULT true,
  since       timestamptz(3) NOT NULL,
  heard_until timestamptz(3) NOT NULL,
  CONSTRAINT listening_one_row CHECK (one),
  CONSTRAINT listening_time_forward CHECK (heard_until >= since)
);

-- Allocations that are due and that the database refused to end: tried again later and later, and never in the way of others.
CREATE TABLE stuck_ends (
  allocation_id   uuid PRIMARY KEY,
  attempts        integer NOT NULL DEFAULT 1,
  last_error      text NOT NULL,
  since           timestamptz(3) NOT NULL DEFAULT now(),
  next_attempt_at timestamptz(3) NOT NULL,
  CONSTRAINT stuck_ends_attempts_positive CHECK (attempts > 0)
);

-- Counts of one hour, and how things stood at its end: what charts are drawn from.
CREATE TABLE stats_snapshots (
  hour              timestamptz(3) PRIMARY KEY,
  taken_at          timestamptz(3) NOT NULL DEFAULT now(),
  granted           integer NOT NULL,
  refused           integer NOT NULL,
  released          integer NOT NULL,
  expired           integer NOT NULL,
  wait_p50_ms       double precision,
  wait_p95_ms       double precision,
  live_allocations  integer NOT NULL,
  waiting_requests  integer NOT NULL,
  devices           integer NOT NULL,
  available_devices integer NOT NULL,
  CONSTRAINT stats_snapshots_whole_hour CHECK (hour = date_trunc('hour', hour, 'UTC'))
);

-- Decided requests are kept as long as allocations are.
CREATE INDEX requests_decided ON requests (decided_at, id) WHERE decided_at IS NOT NULL AND allocation_id IS NULL;

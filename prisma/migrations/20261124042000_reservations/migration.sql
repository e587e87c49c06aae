-- Bookings that come again. Occurrences are rows of `reservations`, made ahead up to a horizon; `next_index` is the first one
-- that has no row yet.
CREATE TABLE reservation_series (
  id              uuid PRIMARY KEY,
  user_id         text NOT NULL,
  tenant_id       text,
  user_tier       text NOT NULL,
  status          text NOT NULL DEFAULT 'active',
  asked           jsonb NOT NULL,
  recurrence      jsonb NOT NULL,
  first_starts_at timestamptz(3) NOT NULL,
  next_index      integer NOT NULL DEFAULT 0,
  next_starts_at  timestamptz(3),
  attempts        integer NOT NULL DEFAULT 0,
  last_error      text,
  next_attempt_at timestamptz(3) NOT NULL DEFAULT now(),
  created_at      timestamptz(3) NOT NULL DEFAULT now(),
  updated_at      timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT reservation_series_status_known CHECK (status IN ('active', 'ended', 'cancelled')),
  CONSTRAINT reservation_series_tier_known CHECK (user_tier IN ('free', 'standard', 'vip', 'premium', 'enterprise')),
  CONSTRAINT reservation_series_next_whole CHECK (status <> 'active' OR next_starts_at IS NOT NULL),
  CONSTRAINT reservation_series_next_natural CHECK (next_index >= 0)
);
-- Series whose next occurrence has come within the horizon.
CREATE INDEX reservation_series_next ON reservation_series (next_starts_at, id) WHERE status = 'active';

ALTER TABLE reservations
  ADD COLUMN series_id        uuid REFERENCES reservation_series (id),
  -- Which occurrence of its series; an occurrence is made once.
  ADD COLUMN series_index     integer,
  -- The device asked for by name, which no other may replace.
  ADD COLUMN wanted_device_id uuid,
  -- When to remind, until it is done (`reminded_at`); NULL: not at all.
  ADD COLUMN remind_at        timestamptz(3),
  -- When the holder first touched the running reservation: no no-show after that.
  ADD COLUMN shown_at         timestamptz(3),
  -- Why it failed: a code, and the same in words.
  ADD COLUMN failure_code     text,
  ADD COLUMN failure_reason   text,
  -- The entry of the waiting queue it was handed to.
  ADD COLUMN queue_entry_id   uuid,
  ADD COLUMN trace_id         text,
  -- What a fault left behind: how often, which, and when it is tried again.
  ADD COLUMN attempts         integer NOT NULL DEFAULT 0,
  ADD COLUMN last_error       text,
  ADD COLUMN next_attempt_at  timestamptz(3) NOT NULL DEFAULT now(),
  ADD CONSTRAINT reservations_series_whole CHECK ((series_id IS NULL) = (series_index IS NULL)),
  ADD CONSTRAINT reservations_executing_has_allocation CHECK (status <> 'executing' OR allocation_id IS NOT NULL),
  ADD CONSTRAINT reservations_failed_says_why CHECK (status <> 'failed' OR failure_code IS NOT NULL),
  ADD CONSTRAINT reservations_attempts_natural CHECK (attempts >= 0);

CREATE UNIQUE INDEX reservations_one_per_occurrence ON reservations (series_id, series_index) WHERE series_id IS NOT NULL;
-- A grant is of one reservation at most. Serves every end of an allocation: was it a reservation's?
CREATE UNIQUE INDEX reservations_one_per_allocation ON reservations (allocation_id) WHERE allocation_id IS NOT NULL;

-- What is due, and whether anything is ahead at all: both look at what has not begun.
DROP INDEX reservations_due;
CREATE INDEX reservations_due ON reservations (starts_at, id) WHERE status IN ('pending', 'confirmed');
CREATE INDEX reservations_remind ON reservations (remind_at, id) WHERE status = 'confirmed' AND reminded_at IS NULL AND remind_at IS NOT NULL;
-- Who has not shown up yet.
CREATE INDEX reservations_unseen ON reservations (starts_at, id) WHERE status = 'executing' AND shown_at IS NULL;
CREATE INDEX reservations_list ON reservations (starts_at DESC, id DESC);
CREATE INDEX reservations_list_of_tenant ON reservations (tenant_id, starts_at DESC, id DESC);

ALTER TABLE requests DROP CONSTRAINT requests_source_known;
ALTER TABLE requests ADD CONSTRAINT requests_source_known CHECK (source IN ('http', 'client', 'event', 'reservation'));

-- Between two tables no exclusion constraint can stand, so triggers do: a lease ends before the next reservation of its device
-- (with the gap that was promised to it), whoever writes it and by which door. Both sides lock the device first and look in a
-- statement of its own, whose snapshot is younger than the lock: of two at once, the second sees the first.

-- For leases that begin: one look for all rows of a statement. The grant locked the devices; 40001 has its transaction run anew.
CREATE FUNCTION allocations_end_before_reservations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM started s JOIN reservations r ON r.device_id = s.device_id AND r.status IN ('pending', 'confirmed', 'executing')
      -- A gap is a day at most: the range finds candidates by the index, the line after it is exact.
      AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(s.allocated_at, greatest(s.expires_at, s.allocated_at) + interval '1 day')
    WHERE s.status = 'allocated' AND r.allocation_id IS DISTINCT FROM s.id AND r.starts_at - (r.blocked_until - r.ends_at) < s.expires_at
  ) THEN
    RAISE EXCEPTION 'a lease may not reach into a reservation of its device' USING ERRCODE = '40001', CONSTRAINT = 'allocations_end_before_reservations';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER allocations_end_before_reservations AFTER INSERT ON allocations
  REFERENCING NEW TABLE AS started FOR EACH STATEMENT EXECUTE FUNCTION allocations_end_before_reservations();

-- For leases that get longer.
CREATE FUNCTION allocations_extend_before_reservations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM devices WHERE id = NEW.device_id FOR SHARE;
  IF EXISTS (
    SELECT FROM reservations r WHERE r.device_id = NEW.device_id AND r.status IN ('pending', 'confirmed', 'executing')
      AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(NEW.allocated_at, NEW.expires_at + interval '1 day')
      AND r.allocation_id IS DISTINCT FROM NEW.id AND r.starts_at - (r.blocked_until - r.ends_at) < NEW.expires_at
  ) THEN
    RAISE EXCEPTION 'a lease may not reach into a reservation of its device' USING ERRCODE = '40001', CONSTRAINT = 'allocations_extend_before_reservations';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER allocations_extend_before_reservations AFTER UPDATE OF expires_at ON allocations
  FOR EACH ROW WHEN (NEW.status = 'allocated' AND NEW.expires_at > OLD.expires_at) EXECUTE FUNCTION allocations_extend_before_reservations();

-- For reservations that are made or moved.
CREATE FUNCTION reservations_begin_after_leases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM devices WHERE id = NEW.device_id FOR UPDATE;
  IF EXISTS (
    SELECT FROM allocations a WHERE a.device_id = NEW.device_id AND a.status = 'allocated' AND a.id IS DISTINCT FROM NEW.allocation_id
      AND a.expires_at > NEW.starts_at - (NEW.blocked_until - NEW.ends_at) AND a.allocated_at < NEW.blocked_until
  ) THEN
    RAISE EXCEPTION 'a reservation may not begin before the lease on its device ends' USING ERRCODE = '23P01', CONSTRAINT = 'reservations_begin_after_leases';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER reservations_begin_after_leases AFTER INSERT OR UPDATE OF device_id, starts_at, ends_at, blocked_until ON reservations
  FOR EACH ROW WHEN (NEW.status IN ('pending', 'confirmed') AND NEW.device_id IS NOT NULL) EXECUTE FUNCTION reservations_begin_after_leases();

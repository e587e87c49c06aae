-- Every extension of an allocation, in order. Its id follows from the call that asked for it, so a call that is repeated, or
-- a job that runs twice, finds the row of the first time. It goes with its allocation.
CREATE TABLE extensions (
  id                uuid PRIMARY KEY,
  allocation_id     uuid NOT NULL REFERENCES allocations (id) ON DELETE CASCADE,
  extend_count      integer NOT NULL,
  minutes           integer NOT NULL,
  total_minutes     integer NOT NULL,
  old_expires_at    timestamptz(3) NOT NULL,
  new_expires_at    timestamptz(3) NOT NULL,
  automatic         boolean NOT NULL,
  balance_unchecked boolean NOT NULL,
  reason            text,
  extended_by       text NOT NULL,
  extended_at       timestamptz(3) NOT NULL DEFAULT now(),
  CONSTRAINT extensions_count_once UNIQUE (allocation_id, extend_count),
  CONSTRAINT extensions_count_positive CHECK (extend_count > 0),
  CONSTRAINT extensions_minutes_range CHECK (minutes BETWEEN 1 AND 1440),
  CONSTRAINT extensions_total_above_minutes CHECK (total_minutes > minutes),
  CONSTRAINT extensions_minutes_exact CHECK (extract(epoch FROM new_expires_at - old_expires_at) = minutes * 60)
);

-- The allocations to extend by themselves that end next.
CREATE INDEX allocations_auto_extend ON allocations (expires_at, id) WHERE status = 'allocated' AND auto_extend;

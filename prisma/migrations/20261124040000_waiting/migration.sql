-- One waiting mechanism: a queue entry is a request that waits. The table of entries nobody used goes.
DROP TABLE queue_entries;

ALTER TABLE requests
  -- Joined through the queue's own route: one of a user at a time.
  ADD COLUMN joined        boolean NOT NULL DEFAULT false,
  -- Whose turns it takes among the waiting: its tenant's, or its user's.
  ADD COLUMN flow          text,
  -- Its place among the waiting, given once: the time it began to wait less the head start of its tier (shared/waitlist/rank.ts).
  ADD COLUMN rank_at       timestamptz(3),
  -- What a device must be, as a class others share: type, least and most cores, memory, storage (shared/waitlist/needs.ts).
  ADD COLUMN needs         integer[],
  -- The one device it wants, if it named one.
  ADD COLUMN wanted_device uuid,
  -- Why it is passed over for now, and since when; nothing while it is in the queue.
  ADD COLUMN parked        text,
  ADD COLUMN parked_at     timestamptz(3),
  ADD COLUMN retry_count   integer NOT NULL DEFAULT 0,
  -- Who is told besides the row, see shared/run/completion.ts.
  ADD COLUMN reply_to      text,
  -- When it was first expected to be granted; what came of it says how good estimates are.
  ADD COLUMN estimated_p50 timestamptz(3),
  ADD COLUMN estimated_p90 timestamptz(3);

UPDATE requests SET
  waiting_since = coalesce(waiting_since, created_at),
  flow = coalesce('t:' || tenant_id, 'u:' || user_id),
  rank_at = coalesce(waiting_since, created_at)
    - make_interval(mins => CASE tier WHEN 'enterprise' THEN 15 WHEN 'premium' THEN 10 WHEN 'vip' THEN 5 ELSE 0 END),
  needs = ARRAY[
    CASE asked #>> '{devicePreferences,deviceType}' WHEN 'phone' THEN 1 WHEN 'tablet' THEN 2 ELSE 0 END,
    coalesce((asked #>> '{preferredSpecs,minCpu}')::int, 0), coalesce((asked #>> '{preferredSpecs,minMemory}')::int, 0),
    coalesce((asked #>> '{preferredSpecs,minStorage}')::int, 0), 2147483647, 2147483647, 2147483647],
  wanted_device = (asked #>> '{devicePreferences,deviceId}')::uuid
WHERE status = 'waiting';

ALTER TABLE requests
  ADD CONSTRAINT requests_waiting_whole CHECK (status <> 'waiting' OR (waiting_since IS NOT NULL AND flow IS NOT NULL AND rank_at IS NOT NULL AND needs IS NOT NULL)),
  ADD CONSTRAINT requests_needs_whole CHECK (cardinality(needs) = 7 AND needs[1] BETWEEN 0 AND 2),
  ADD CONSTRAINT requests_parked_known CHECK (parked IN ('QUOTA_USER', 'BALANCE', 'FAULT')),
  ADD CONSTRAINT requests_parked_whole CHECK ((parked IS NULL) = (parked_at IS NULL)),
  ADD CONSTRAINT requests_retry_count_natural CHECK (retry_count >= 0),
  ADD CONSTRAINT requests_estimate_forward CHECK ((estimated_p50 IS NULL) = (estimated_p90 IS NULL) AND estimated_p90 >= estimated_p50);

-- One active entry of a user.
CREATE UNIQUE INDEX requests_one_entry_of_user ON requests (user_id) WHERE joined AND status = 'waiting';

-- The first of each class by rank: what a freed device looks for. Parked rows are in none of the three.
DROP INDEX requests_waiting;
CREATE INDEX requests_waiting_in_class ON requests (needs, rank_at, id) WHERE status = 'waiting' AND parked IS NULL AND wanted_device IS NULL;
CREATE INDEX requests_waiting_of_tenant ON requests (tenant_id, needs, rank_at, id) WHERE status = 'waiting' AND parked IS NULL AND wanted_device IS NULL;
CREATE INDEX requests_waiting_for_device ON requests (wanted_device, rank_at, id) WHERE status = 'waiting' AND parked IS NULL AND wanted_device IS NOT NULL;
-- The last place of a flow at a tier, for the next one of it.
CREATE INDEX requests_waiting_of_flow ON requests (flow, tier, rank_at) WHERE status = 'waiting';
-- Whose parked requests may be looked at again; whether anybody waits at all.
CREATE INDEX requests_waiting_of_user ON requests (user_id) WHERE status = 'waiting';
CREATE INDEX requests_parked ON requests (parked_at, id) WHERE status = 'waiting' AND parked IS NOT NULL;
-- Lists of the queue, newest first: of everybody, of a user, of a tenant.
CREATE INDEX requests_queued ON requests (created_at DESC, id DESC) WHERE rank_at IS NOT NULL;
CREATE INDEX requests_queued_of_user ON requests (user_id, created_at DESC, id DESC) WHERE rank_at IS NOT NULL;
CREATE INDEX requests_queued_of_tenant ON requests (tenant_id, created_at DESC, id DESC) WHERE rank_at IS NOT NULL;

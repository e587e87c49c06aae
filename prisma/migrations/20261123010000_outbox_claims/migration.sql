-- Who does what only one process may do at a time: a lease runs out by itself, whatever happens to its holder, and needs
-- no session, so it also works through a pooler.
CREATE TABLE leases (
  name       text PRIMARY KEY,
  holder     text NOT NULL,
  held_until timestamptz(3) NOT NULL
);

-- When a row was last handed to the delivery jobs. A row is handed out once per attempt (handed_out_at < next_attempt_at
-- says that the last attempt is over), and again when its job has not been heard of for a while: the job was lost.
ALTER TABLE outbox ADD COLUMN handed_out_at timestamptz(3);
ALTER TABLE ledger ADD COLUMN handed_out_at timestamptz(3);

-- A row that was given up keeps the later ones of its key waiting, so the head of a key is its lowest id not delivered.
DROP INDEX outbox_head_of_key;
CREATE INDEX outbox_head_of_key ON outbox (channel, key, id) WHERE status <> 'delivered';

-- Due rows first: those put off by a failure do not stand in the way of the search.
DROP INDEX outbox_pending;
CREATE INDEX outbox_due ON outbox (channel, next_attempt_at, id) WHERE status = 'pending';

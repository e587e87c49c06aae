-- Events that are acknowledged to RabbitMQ and have had no effect yet. Their jobs are in Redis, which may lose everything: the
-- reconciler hands out again what is here for long. A row goes in the transaction that puts the event into the inbox.
CREATE TABLE arrived_events (
  event_id       text PRIMARY KEY,
  topic          text NOT NULL,
  action         jsonb NOT NULL,
  handed_out_at  timestamptz(3) NOT NULL DEFAULT now()
);
-- claimArrived: what is here for long, the oldest first.
CREATE INDEX arrived_events_handed_out ON arrived_events (handed_out_at);

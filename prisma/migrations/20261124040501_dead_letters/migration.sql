-- Dead letters are listed and tried again by people; there are few, and they are found without looking at the others.
CREATE INDEX outbox_dead ON outbox (created_at, event_id) WHERE status = 'dead';

-- What the reconciler looks for: whether the use of an allocation was reported, and reservations that run.
CREATE INDEX outbox_use_of_allocation ON outbox (key) WHERE channel = 'usage';
CREATE INDEX reservations_executing ON reservations (id) WHERE status = 'executing';

-- When a keyed call was answered: of how long to wait, a repeat is told what is left of it.
ALTER TABLE idempotency_keys ADD COLUMN answered_at timestamptz(3);

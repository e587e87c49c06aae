-- Which release has ended an allocation, of releases that named the device only: a second run of the same release finds what the
-- first one ended, and not whoever holds the device by then. Others name the allocation and need no mark, so theirs stay out of the index.
ALTER TABLE allocations ADD COLUMN release_id uuid;
ALTER TABLE allocations ADD CONSTRAINT allocations_release_id_ended CHECK (release_id IS NULL OR status <> 'allocated');
CREATE INDEX allocations_ended_by_release ON allocations (device_id, release_id) WHERE release_id IS NOT NULL;

-- A booking walks the sizes of the fleet, the smallest first, and of each the devices that are free (FREE of device-filters.ts): the
-- last column. An index of its own for them would cost an entry more whenever a device becomes free; this one gets an entry at every
-- change of a device anyhow. It goes on to say whether any device could ever match (NO_MATCHING_DEVICE).
DROP INDEX devices_could_match;
CREATE INDEX devices_could_match ON devices (cpu_cores, memory_mb, storage_mb, type,
  (CASE WHEN status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL THEN 1 ELSE 0 END)) WHERE status <> 'deleted';

-- A booking walks the sizes of the devices that are free (FREE of device-filters.ts), the smallest first. The condition is written as an
-- expression so that nobody but this walk takes the index: placement has its own, which are in its order to the last column.
CREATE INDEX devices_bookable_by_size ON devices (cpu_cores, memory_mb, storage_mb, type,
  (CASE WHEN status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL THEN 1 ELSE 0 END))
  WHERE (CASE WHEN status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL THEN 1 ELSE 0 END) = 1;

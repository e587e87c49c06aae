-- Whether a device of a kind is held, and whose leases those are (wait-facts.ts), without looking through all that are not.
CREATE INDEX devices_held ON devices (type, cpu_cores, memory_mb, storage_mb) WHERE allocation_id IS NOT NULL;

-- Devices that are out of service and still held (reconcile): almost always empty.
CREATE INDEX devices_unsettled ON devices (id) WHERE allocation_id IS NOT NULL AND status <> 'running';

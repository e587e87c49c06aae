-- The usage history without a user: of everybody by time, and of a tenant by time. A device's is found by `allocations_fence_once`,
-- since its fences rise with its allocations.
CREATE INDEX allocations_history ON allocations (allocated_at DESC, id DESC);
CREATE INDEX allocations_history_of_tenant ON allocations (tenant_id, allocated_at DESC, id DESC);

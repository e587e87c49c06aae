-- 23P01 as for a reservation over a lease: who extends has locked the device before looking, so a transaction run anew (40001) is
-- refused again, and the caller would be told that the database is away.
CREATE OR REPLACE FUNCTION allocations_extend_before_reservations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM devices WHERE id = NEW.device_id FOR SHARE;
  IF EXISTS (
    SELECT FROM reservations r WHERE r.device_id = NEW.device_id AND r.status IN ('pending', 'confirmed', 'executing')
      AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(NEW.allocated_at, NEW.expires_at + interval '1 day')
      AND r.allocation_id IS DISTINCT FROM NEW.id AND r.starts_at - (r.blocked_until - r.ends_at) < NEW.expires_at
  ) THEN
    RAISE EXCEPTION 'a lease may not reach into a reservation of its device' USING ERRCODE = '23P01', CONSTRAINT = 'allocations_extend_before_reservations';
  END IF;
  RETURN NULL;
END $$;

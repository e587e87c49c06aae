-- Where a device stands in the rotation of the strategy in force: the smaller goes first. Written by the grant, and only while
-- a strategy that takes turns is in force. The clock is a sequence: no row of it is ever locked, whoever counts on it. The indexes
-- of a strategy are made when it is activated (shared/store/strategy-indexes.ts), so that nobody pays for one that is not in force.
ALTER TABLE devices ADD COLUMN turn double precision NOT NULL DEFAULT 0;
CREATE SEQUENCE device_turns;

-- How many devices of a node are held. Rows are there only while load_balancing is in force, kept by the statements that grant and
-- end; '' stands for no node or no region. The seat is a place in a fixed order that takes regions and providers in turn.
CREATE TABLE node_loads (
  node_id       text NOT NULL,
  region        text NOT NULL,
  provider_type text NOT NULL,
  held          integer NOT NULL,
  seat          integer NOT NULL,
  PRIMARY KEY (node_id, region, provider_type),
  CONSTRAINT node_loads_held_natural CHECK (held >= 0)
);
CREATE INDEX node_loads_least ON node_loads (held, seat);

-- One strategy of each type, named after it, and one of them active: the only truth about which is in force.
INSERT INTO strategies (id, name, type, description, active) VALUES
  (gen_random_uuid(), 'round_robin', 'round_robin', 'Devices in turn, fair over processes', false),
  (gen_random_uuid(), 'least_connection', 'least_connection', 'Lowest CPU use, then fewest recent allocations', false),
  (gen_random_uuid(), 'weighted_round_robin', 'weighted_round_robin', 'In turn, weighted by free CPU and memory', false),
  (gen_random_uuid(), 'resource_based', 'resource_based', 'Best free CPU, memory and storage', true),
  (gen_random_uuid(), 'load_balancing', 'load_balancing', 'Spread over nodes, regions and providers', false),
  (gen_random_uuid(), 'resource_efficiency', 'resource_efficiency', 'The smallest device that satisfies the request', false),
  (gen_random_uuid(), 'locality_aware', 'locality_aware', 'The user''s region and the device the user had last', false),
  (gen_random_uuid(), 'cost_optimization', 'cost_optimization', 'Lowest costPerHour that satisfies', false);
DELETE FROM settings WHERE name = 'allocation_strategy';
-- The order they are listed in.
CREATE INDEX strategies_in_order ON strategies (priority DESC, name);

-- Exactly one active: never two by strategies_one_active, never none by this, looked at when the transaction ends.
CREATE FUNCTION strategies_keep_one_active() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM strategies WHERE active) THEN
    RAISE EXCEPTION 'no strategy would be active' USING ERRCODE = 'check_violation', CONSTRAINT = 'strategies_always_one_active';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER strategies_always_one_active AFTER UPDATE OR DELETE ON strategies DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION strategies_keep_one_active();

-- The largest device of each node: nodes that cannot have what is asked for need not be looked at.
ALTER TABLE node_loads ADD COLUMN most_cpu integer NOT NULL DEFAULT 2147483647;
ALTER TABLE node_loads ADD COLUMN most_memory integer NOT NULL DEFAULT 2147483647;
ALTER TABLE node_loads ADD COLUMN most_storage integer NOT NULL DEFAULT 2147483647;

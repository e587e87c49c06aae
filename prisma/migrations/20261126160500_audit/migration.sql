-- Who changed what through the dashboard. The row is written before the change is made; `status` is what it was answered with, and
-- nothing as long as nobody knows. Rows are only ever added, and given their answer once.
CREATE TABLE audit (
  id          bigserial PRIMARY KEY,
  at          timestamptz(3) NOT NULL DEFAULT now(),
  actor       text NOT NULL,
  role        text NOT NULL,
  action      text NOT NULL,
  target      text NOT NULL,
  details     jsonb NOT NULL DEFAULT '{}',
  address     text NOT NULL,
  request_id  uuid NOT NULL,
  status      integer,
  CONSTRAINT audit_role_known CHECK (role IN ('viewer', 'operator')),
  CONSTRAINT audit_action_length CHECK (length(action) BETWEEN 1 AND 200),
  CONSTRAINT audit_status_range CHECK (status BETWEEN 100 AND 599)
);
CREATE UNIQUE INDEX audit_once_per_request ON audit (request_id);

-- What the search of the dashboard asks for: devices by the beginning of their name, and what a user was refused. Grants of a user are
-- found through their allocations; refusals are the smaller part, so this costs no grant anything.
CREATE INDEX devices_by_name ON devices (lower(name) text_pattern_ops);
CREATE INDEX requests_refused_of_user ON requests (user_id, decided_at DESC) WHERE status = 'refused';

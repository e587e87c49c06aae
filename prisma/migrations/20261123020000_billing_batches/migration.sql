-- Which bills were sent together. A batch that got no answer is sent again in the same composition, under the same key,
-- so a billing-service that did take it recognises it as a whole.
ALTER TABLE ledger ADD COLUMN batch_id uuid;
CREATE INDEX ledger_of_batch ON ledger (batch_id) WHERE status = 'owed' AND batch_id IS NOT NULL;

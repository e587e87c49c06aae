-- Notices to people leave by the outbox too. The id of one follows from what is told, so that telling it twice is refused.
ALTER TABLE outbox DROP CONSTRAINT outbox_channel_known;
UPDATE outbox SET channel = 'notice' WHERE channel = 'notification';
ALTER TABLE outbox ADD CONSTRAINT outbox_channel_known CHECK (channel IN ('event', 'usage', 'notice'));
CREATE UNIQUE INDEX outbox_notice_once ON outbox (event_id) WHERE channel = 'notice';

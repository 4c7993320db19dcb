-- CRC-32 of a queued event's id, kind and body, so that damage is noticed before it is sent; NULL
-- for events that were queued before this column was.
ALTER TABLE outbox ADD COLUMN checksum INTEGER;

-- From here on every queued event has its checksum: a row without one is damaged.
UPDATE outbox SET checksum = event_checksum(event_id, kind, body) WHERE checksum IS NULL;

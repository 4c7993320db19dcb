-- name: put
-- Buries an event with its body and its error.
INSERT INTO dead_letters (
    position, event_id, kind, body, checksum, attempts, error_code, error,
    received_ms, buried_ms, redrives
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: page
-- Lists dead letters after a position, oldest first.
SELECT position, event_id, kind, body, checksum, attempts, error_code, error,
    received_ms, buried_ms, redrives
FROM dead_letters WHERE position > ? ORDER BY position LIMIT ?;

-- name: page_of_kind
-- Lists dead letters of one kind after a position, oldest first.
SELECT position, event_id, kind, body, checksum, attempts, error_code, error,
    received_ms, buried_ms, redrives
FROM dead_letters WHERE position > ? AND kind = ? ORDER BY position LIMIT ?;

-- name: by_event
-- Reads the newest dead letter of an event; there is one, unless a broken file lost its receipt.
SELECT position, event_id, kind, body, checksum, attempts, error_code, error,
    received_ms, buried_ms, redrives
FROM dead_letters WHERE event_id = ? ORDER BY position DESC LIMIT 1;

-- name: delete
-- Removes a dead letter that is redriven or dropped.
DELETE FROM dead_letters WHERE position = ?;

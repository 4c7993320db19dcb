-- name: version
-- The schema version of the file; 0 before its first migration.
PRAGMA user_version;

-- name: create_log
-- Names a new log and records that it is empty.
INSERT INTO journal_log (only_row, log_id, size, head) VALUES (1, ?, 0, ?);

-- name: log
-- The log's name and the head that it records of itself.
SELECT log_id, size, head FROM journal_log;

-- name: record_head
-- Moves the recorded head, in the transaction that appends.
UPDATE journal_log SET size = ?, head = ?;

-- name: last
-- The last entry's place and hash: what the next one links to.
SELECT sequence, hash FROM journal ORDER BY sequence DESC LIMIT 1;

-- name: insert
-- Appends one entry; the guards refuse any but the next one.
INSERT INTO journal (
  chain_version, sequence, time, event_type, actor, session_id, task_id, payload, previous, hash
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: page
-- Entries after a sequence, in order.
SELECT chain_version, sequence, time, event_type, actor, session_id, task_id, payload, previous,
  hash
FROM journal WHERE sequence > ? ORDER BY sequence LIMIT ?;

-- name: latest
-- The newest entries, newest first.
SELECT chain_version, sequence, time, event_type, actor, session_id, task_id, payload, previous,
  hash
FROM journal ORDER BY sequence DESC LIMIT ?;

-- name: located
-- The entry below a sequence that has this hash: read once, when a walk meets a second successor.
SELECT max(sequence) FROM journal WHERE hash = ? AND sequence < ?;

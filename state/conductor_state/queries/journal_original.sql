-- name: has_events
-- Whether the file holds the original tool's log.
SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'events';

-- name: has_chain_state
-- Whether it keeps its own head.
SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'chain_state';

-- name: has_sequence
-- Whether SQLite remembers the ids that it gave out.
SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence';

-- name: events
-- Every event in the order of its id.
SELECT id, session_id, task_id, actor, event_type, payload_json, created_ts, prev_hash, curr_hash
FROM events ORDER BY id;

-- name: latest_hash
-- The head that the log keeps of itself; the original verifier never reads it.
SELECT value FROM chain_state WHERE key = 'latest_hash';

-- name: last_id
-- The highest id ever given out: more than the last row's where a tail was cut.
SELECT seq FROM sqlite_sequence WHERE name = 'events';

-- name: sessions
-- Every session with its length, its time span and its number of tasks and actors, oldest first.
SELECT session_id, count(*), min(sequence), max(sequence), count(DISTINCT nullif(task_id, '')),
  count(DISTINCT actor)
FROM journal WHERE session_id <> '' GROUP BY session_id ORDER BY min(sequence);

-- name: times
-- The times of two entries.
SELECT sequence, time FROM journal WHERE sequence IN (?, ?);

-- name: by_session
-- Entries of a session after a sequence, in order.
SELECT chain_version, sequence, time, event_type, actor, session_id, task_id, payload, previous,
  hash
FROM journal WHERE session_id = ? AND sequence > ? ORDER BY sequence LIMIT ?;

-- name: by_task
-- Entries of a task after a sequence, in order.
SELECT chain_version, sequence, time, event_type, actor, session_id, task_id, payload, previous,
  hash
FROM journal WHERE task_id = ? AND sequence > ? ORDER BY sequence LIMIT ?;

-- name: naming
-- Entries whose payload holds a text somewhere; the caller looks more closely.
SELECT chain_version, sequence, time, event_type, actor, session_id, task_id, payload, previous,
  hash
FROM journal WHERE instr(payload, ?) > 0 AND sequence > ? ORDER BY sequence LIMIT ?;

-- name: type_counts
-- How often each event type occurs in a session.
SELECT event_type, count(*) FROM journal WHERE session_id = ? GROUP BY event_type ORDER BY 1;

-- name: actor_counts
-- How often each actor occurs in a session.
SELECT actor, count(*) FROM journal WHERE session_id = ? GROUP BY actor ORDER BY 1;

-- name: task_counts
-- How often each task occurs in a session.
SELECT task_id, count(*) FROM journal WHERE session_id = ? AND task_id <> '' GROUP BY 1 ORDER BY 1;

-- name: of_calls
-- Beginnings and ends of tool calls after a sequence, in order.
SELECT chain_version, sequence, time, event_type, actor, session_id, task_id, payload, previous,
  hash
FROM journal
WHERE sequence > ? AND event_type IN (
  'TOOL_CALL_STARTED', 'TOOL_CALL_FINISHED', 'TOOL_CALL_INTERRUPTED'
) ORDER BY sequence LIMIT ?;

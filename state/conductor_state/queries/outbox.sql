-- name: next_position
-- The highest position ever used, to go on after it.
SELECT seq FROM sqlite_sequence WHERE name = 'outbox';

-- name: insert
-- Store one event at the position that its group decided.
INSERT INTO outbox (position, event_id, kind, put_ms, body, trace, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: take
-- A page of events in order.
SELECT position, event_id, kind, body, trace, put_ms, checksum FROM outbox
WHERE position > ? ORDER BY position LIMIT ?;

-- name: rows_between
-- What is known of a run of positions, without reading bodies.
SELECT position, event_id, kind, put_ms, length(body), trace FROM outbox
WHERE position BETWEEN ? AND ? ORDER BY position;

-- name: delete_between
-- Remove a run of positions.
DELETE FROM outbox WHERE position BETWEEN ? AND ?;

-- name: oldest_of_kind
-- The oldest events of one kind, from a position on.
SELECT position, event_id, kind, put_ms, length(body), trace FROM outbox
WHERE position >= ? AND kind = ? ORDER BY position LIMIT ?;

-- name: oldest_of_rest
-- The oldest events of the kinds that are not in a JSON list, from a position on.
SELECT position, event_id, kind, put_ms, length(body), trace FROM outbox
WHERE position >= ? AND kind NOT IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT ?;

-- name: head
-- The oldest event: its position and when it was put.
SELECT position, put_ms FROM outbox ORDER BY position LIMIT 1;

-- name: recount
-- Count what is really there, kind by kind: reads the whole table.
SELECT kind, count(*), sum(length(body)) FROM outbox GROUP BY kind;

-- name: ids_at
-- The ids at positions given as a JSON list: confirms that a key's position is still this id's.
SELECT event_id, position FROM outbox
WHERE position IN (SELECT value FROM json_each(?));

-- name: recent_ids
-- The ids after the last position whose key was spilled, to fill the set in memory.
SELECT event_id, position FROM outbox WHERE position > ? ORDER BY position;

-- name: one
-- A queued event for its story.
SELECT kind, put_ms, trace FROM outbox WHERE position = ?;

-- name: loads
-- What is queued by kind.
SELECT kind, events, bytes FROM outbox_counts;

-- name: counts
-- All counts but those of drops.
SELECT kind, accepted, delivered, duplicates, events FROM outbox_counts;

-- name: add_counts
-- Add a commit's changes to a kind.
INSERT INTO outbox_counts (kind, accepted, delivered, duplicates, events, bytes)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind) DO UPDATE SET
    accepted = accepted + excluded.accepted,
    delivered = delivered + excluded.delivered,
    duplicates = duplicates + excluded.duplicates,
    events = events + excluded.events,
    bytes = bytes + excluded.bytes;

-- name: dropped
-- Drops by kind and reason.
SELECT kind, reason, events FROM outbox_dropped;

-- name: add_dropped
-- Add a commit's drops.
INSERT INTO outbox_dropped (kind, reason, events) VALUES (?, ?, ?)
ON CONFLICT (kind, reason) DO UPDATE SET events = events + excluded.events;

-- name: ids_state
-- How the keys of older ids are spread over the two tables.
SELECT filling, spilled, last_0, keys_0, last_1, keys_1 FROM outbox_ids_state;

-- name: save_ids_state
-- Record it.
UPDATE outbox_ids_state
SET filling = ?, spilled = ?, last_0 = ?, keys_0 = ?, last_1 = ?, keys_1 = ?;

-- name: spill_0
-- Keep the position of a key in table 0.
INSERT OR IGNORE INTO outbox_ids_0 (key, position) VALUES (?, ?);

-- name: spill_1
-- Keep the position of a key in table 1.
INSERT OR IGNORE INTO outbox_ids_1 (key, position) VALUES (?, ?);

-- name: find_0
-- Positions of keys (a JSON list) in table 0.
SELECT position FROM outbox_ids_0 WHERE key IN (SELECT value FROM json_each(?));

-- name: find_1
-- Positions of keys (a JSON list) in table 1.
SELECT position FROM outbox_ids_1 WHERE key IN (SELECT value FROM json_each(?));

-- name: clear_0
-- Empty table 0; without a condition SQLite frees its pages whole.
DELETE FROM outbox_ids_0;

-- name: clear_1
-- Empty table 1.
DELETE FROM outbox_ids_1;

-- name: add_gone
-- Remember what left the outbox together.
INSERT INTO outbox_gone (gone_ms, events, digests, detail) VALUES (?, ?, ?, ?);

-- name: gone_before
-- Batches to forget, oldest first.
SELECT batch, events FROM outbox_gone WHERE gone_ms < ? ORDER BY gone_ms LIMIT ?;

-- name: forget_gone
-- Forget one batch.
DELETE FROM outbox_gone WHERE batch = ?;

-- name: gone_page
-- A page of what left, newest first, to look for an id.
SELECT batch, gone_ms, digests, detail FROM outbox_gone WHERE batch < ? ORDER BY batch DESC LIMIT ?;

-- name: epoch
-- The history's name.
SELECT epoch FROM history;

-- name: workspace
-- A workspace's number and the bounds of its downward events.
SELECT number, first, last FROM workspaces WHERE name = ?;

-- name: add_workspace
-- Begin a workspace's history.
INSERT INTO workspaces (name) VALUES (?);

-- name: workspaces
-- Every workspace that has events, tokens or anchors.
SELECT name FROM workspaces
UNION SELECT workspace FROM tokens
UNION SELECT workspace FROM anchors
ORDER BY 1;

-- name: set_last
-- Record the last downward sequence.
UPDATE workspaces SET last = ? WHERE number = ?;

-- name: set_first
-- Record the first downward sequence that is kept.
UPDATE workspaces SET first = ? WHERE number = ?;

-- name: find_downward
-- Where the ids of some keys (a JSON list) may stand.
SELECT place FROM downward_ids WHERE key IN (SELECT value FROM json_each(?));

-- name: downward_ids_at
-- The ids at some places (a JSON list).
SELECT event_id, place FROM downward WHERE place IN (SELECT value FROM json_each(?));

-- name: add_downward
-- Store one downward event.
INSERT INTO downward (place, event_id, kind, at_ms, body) VALUES (?, ?, ?, ?, ?);

-- name: add_downward_id
-- Index its id.
INSERT OR IGNORE INTO downward_ids (key, place) VALUES (?, ?);

-- name: read_downward
-- A page of a workspace's downward events in order.
SELECT place, event_id, kind, body, at_ms FROM downward
WHERE place > ? AND place <= ? ORDER BY place LIMIT ?;

-- name: downward_ids_between
-- A page of ids to forget.
SELECT event_id, place FROM downward WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?;

-- name: drop_downward
-- Forget a run of downward events.
DELETE FROM downward WHERE place BETWEEN ? AND ?;

-- name: drop_downward_id
-- Forget where an id stood.
DELETE FROM downward_ids WHERE key = ? AND place = ?;

-- name: last_upward
-- The last sequence of pushed events.
SELECT seq FROM sqlite_sequence WHERE name = 'upward';

-- name: find_upward
-- Where the pushed ids of some keys (a JSON list) may stand.
SELECT sequence FROM upward_ids WHERE key IN (SELECT value FROM json_each(?));

-- name: upward_ids_at
-- A workspace's pushed ids at some sequences (a JSON list).
SELECT event_id, sequence FROM upward
WHERE sequence IN (SELECT value FROM json_each(?)) AND workspace = ?;

-- name: add_upward
-- Store one pushed event.
INSERT INTO upward (sequence, workspace, event_id, kind, at_ms, body) VALUES (?, ?, ?, ?, ?, ?);

-- name: add_upward_id
-- Index its id.
INSERT OR IGNORE INTO upward_ids (key, sequence) VALUES (?, ?);

-- name: pushed
-- A page of all pushed events, in the order in which they were stored.
SELECT sequence, event_id, kind, body, at_ms FROM upward
WHERE sequence > ? ORDER BY sequence LIMIT ?;

-- name: pushed_by
-- A page of one workspace's pushed events, in the order in which they were stored.
SELECT sequence, event_id, kind, body, at_ms FROM upward
WHERE workspace = (SELECT number FROM workspaces WHERE name = ?) AND sequence > ?
ORDER BY sequence LIMIT ?;

-- name: add_anchor
-- Keep a journal head.
INSERT INTO anchors (workspace, size, hash, at_ms) VALUES (?, ?, ?, ?);

-- name: anchors
-- A workspace's journal heads, oldest first.
SELECT workspace, size, hash, at_ms FROM anchors WHERE workspace = ? ORDER BY number;

-- name: put_token
-- Insert a token, or replace the one of the same id in its place.
INSERT INTO tokens (token_id, digest, purpose, workspace, issued_ms, expires_ms, revoked_ms, used_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (token_id) DO UPDATE SET
    digest = excluded.digest,
    purpose = excluded.purpose,
    workspace = excluded.workspace,
    issued_ms = excluded.issued_ms,
    expires_ms = excluded.expires_ms,
    revoked_ms = excluded.revoked_ms,
    used_ms = excluded.used_ms;

-- name: token_by_digest
-- The token with a digest.
SELECT token_id, digest, purpose, workspace, issued_ms, expires_ms, revoked_ms, used_ms
FROM tokens WHERE digest = ? ORDER BY number LIMIT 1;

-- name: tokens
-- All tokens, oldest first.
SELECT token_id, digest, purpose, workspace, issued_ms, expires_ms, revoked_ms, used_ms
FROM tokens ORDER BY issued_ms, number;

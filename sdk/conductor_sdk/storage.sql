-- name: create_keys
-- The replay keys stand beside the pack's own tables, so that both commit together.
CREATE TABLE IF NOT EXISTS _replay_keys (
  key TEXT NOT NULL PRIMARY KEY,
  at_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- name: some_keys
-- The first keys, and one more than fits in memory to tell whether these are all.
SELECT key FROM _replay_keys LIMIT ?;

-- name: has_key
-- One row when the key is there.
SELECT 1 FROM _replay_keys WHERE key = ?;

-- name: put_key
-- No row is changed when the key is already there.
INSERT INTO _replay_keys (key, at_ms) VALUES (?, ?) ON CONFLICT (key) DO NOTHING;

-- name: old_keys
-- Keys that have outlived the retention window.
SELECT key FROM _replay_keys WHERE at_ms < ? LIMIT ?;

-- name: drop_key
-- Forget one key.
DELETE FROM _replay_keys WHERE key = ?;

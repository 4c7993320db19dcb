-- name: find
-- Reads what is known of a key.
SELECT input_hash, output, checksum FROM tool_results WHERE key = ? AND tool = ? AND actor = ?;

-- name: claim
-- Claims a key for a call that is about to run.
INSERT INTO tool_results (actor, tool, key, input_hash, at_ms, output, checksum)
VALUES (?, ?, ?, ?, ?, NULL, 0);

-- name: finish
-- Keeps the answer of a claimed key.
UPDATE tool_results SET output = ?, checksum = ?, at_ms = ?
WHERE key = ? AND tool = ? AND actor = ? AND output IS NULL;

-- name: release
-- Gives a claim back: the tool was not run.
DELETE FROM tool_results WHERE key = ? AND tool = ? AND actor = ? AND output IS NULL;

-- name: abandon
-- Answers every claim that a dead process left.
UPDATE tool_results SET output = ?, checksum = ? WHERE output IS NULL;

-- name: prune
-- Forgets some answers older than a time; calls in progress stay.
DELETE FROM tool_results WHERE id IN (
    SELECT id FROM tool_results WHERE at_ms < ? AND output IS NOT NULL ORDER BY at_ms LIMIT ?
);

-- name: put
-- Stores a request.
INSERT INTO approvals (
    request_id, pack, tool, actor, names, input_hash, summary, requested_ms, expires_ms,
    state, decided_by, reason, decided_ms, used_ms, checksum
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: of_action
-- Reads what was asked and decided about one action and is not over, oldest first.
SELECT request_id, pack, tool, actor, names, input_hash, summary, requested_ms, expires_ms,
    state, decided_by, reason, decided_ms, used_ms, checksum
FROM approvals
WHERE input_hash = ? AND tool = ? AND actor = ? AND expires_ms > ? ORDER BY id;

-- name: by_request
-- Reads one approval.
SELECT request_id, pack, tool, actor, names, input_hash, summary, requested_ms, expires_ms,
    state, decided_by, reason, decided_ms, used_ms, checksum
FROM approvals WHERE request_id = ?;

-- name: change
-- Records a decision or a use.
UPDATE approvals
SET state = ?, decided_by = ?, reason = ?, decided_ms = ?, used_ms = ?, checksum = ?
WHERE request_id = ?;

-- name: page
-- Lists approvals that show as one of the given states (all where none is given), newest first.
-- The states stand in one text between commas.
SELECT request_id, pack, tool, actor, names, input_hash, summary, requested_ms, expires_ms,
    state, decided_by, reason, decided_ms, used_ms, checksum
FROM approvals
WHERE :states = '' OR instr(
    :states,
    CASE
        WHEN state IN ('pending', 'granted') AND expires_ms <= :now THEN ',expired,'
        ELSE ',' || state || ','
    END
)
ORDER BY requested_ms DESC, id DESC LIMIT :limit;

-- name: count_pending
-- Counts the requests that wait for a decision.
SELECT count(*) FROM approvals WHERE expires_ms > ? AND state = 'pending';

-- name: prune
-- Forgets some approvals whose time was over before then.
DELETE FROM approvals WHERE id IN (SELECT id FROM approvals WHERE expires_ms < ? LIMIT ?);

-- name: bodies_without_receipt
-- Finds events whose receipt is lost.
SELECT id, checksum, events FROM bodies WHERE id NOT IN (SELECT id FROM receipts);

-- name: receipts_without_bodies
-- Finds receipts that are settled, or whose events are lost.
SELECT id, events, keys FROM receipts WHERE id NOT IN (SELECT id FROM bodies);

-- name: put_keys
-- Replaces the keys of a receipt.
UPDATE receipts SET keys = ?2 WHERE id = ?1;

-- name: delete_orphans
-- Removes settlements whose receipt is lost: nothing would ever prune them.
DELETE FROM settlements WHERE position / 4096 NOT IN (SELECT id FROM receipts);

-- name: waiting
-- Lists batches whose events are there.
SELECT receipts.id, receipts.kinds FROM receipts JOIN bodies ON bodies.id = receipts.id;

-- name: size
-- Gives the number of events of a batch.
SELECT events FROM receipts WHERE id = ?;

-- name: dead_by_kind
-- Counts dead letters.
SELECT kind, count(*) FROM dead_letters GROUP BY kind;

-- name: highest_numbers
-- Gives the highest batch numbers in use.
SELECT (SELECT coalesce(max(id), 0) FROM receipts), (SELECT coalesce(max(id), 0) FROM bodies);

-- name: highest_positions
-- Gives the highest positions in use.
SELECT
    (SELECT coalesce(max(position), 0) FROM settlements),
    (SELECT coalesce(max(position), 0) FROM dead_letters),
    (SELECT coalesce(max(position), 0) FROM steps);

-- name: newest_ms
-- Gives the newest receipt's time.
SELECT coalesce(max(received_ms), 0) FROM receipts;

-- name: sum_older_pushes
-- A file of an older program has no checksums; damaged ones were not copied.
UPDATE outbox SET checksum = event_checksum(event_id, kind, body) WHERE checksum IS NULL;

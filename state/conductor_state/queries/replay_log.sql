-- name: state
-- Reads the cursor, the next batch number and the newest receipt's time.
SELECT epoch, sequence, next_batch, last_ms FROM log_state;

-- name: put_state
-- Writes them, in the commit that changes what they speak of.
UPDATE log_state SET epoch = ?, sequence = ?, next_batch = ?, last_ms = ?;

-- name: put_receipt
-- Stores what is kept of a batch for the retention window.
INSERT INTO receipts (id, received_ms, epoch, sequence, redriven, events, kinds, keys, traces)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_bodies
-- Stores the events of a batch until the last of them is settled.
INSERT INTO bodies (id, checksum, events) VALUES (?, ?, ?);

-- name: bodies
-- Reads the events of one batch.
SELECT checksum, events FROM bodies WHERE id = ?;

-- name: bodies_from
-- Reads the events of unsettled batches from a batch on, in order of arrival.
SELECT id, checksum, events FROM bodies WHERE id >= ? ORDER BY id;

-- name: delete_bodies
-- Removes the events of a batch that is settled as a whole.
DELETE FROM bodies WHERE id = ?;

-- name: open_batch
-- Reads an unsettled batch without its events; nothing when all of it is settled.
SELECT received_ms, redriven, events, kinds FROM receipts
WHERE id = ?1 AND EXISTS (SELECT 1 FROM bodies WHERE id = ?1);

-- name: receipt
-- Reads what is kept of a batch.
SELECT received_ms, epoch, sequence, redriven, kinds, keys, traces FROM receipts WHERE id = ?;

-- name: receipt_exists
-- Tells whether a batch is still within retention.
SELECT 1 FROM receipts WHERE id = ?;

-- name: receipt_between
-- Tells whether any batch of a range is still within retention.
SELECT 1 FROM receipts WHERE id BETWEEN ? AND ? LIMIT 1;

-- name: receipt_keys_after
-- Reads the keys of the batches that no partition holds yet.
SELECT id, keys FROM receipts WHERE id > ? ORDER BY id;

-- name: receipt_keys
-- Reads the keys of one batch.
SELECT keys FROM receipts WHERE id = ?;

-- name: key_at
-- Reads the key of one event: the batch, and 1 plus 16 times its index.
SELECT substr(keys, ?2, 16) FROM receipts WHERE id = ?1;

-- name: old_receipts
-- Lists batches, oldest first: when received, whether redriven, and what still holds them.
SELECT id, received_ms, redriven, events,
    EXISTS (SELECT 1 FROM bodies WHERE bodies.id = receipts.id)
    OR EXISTS (
        SELECT 1 FROM dead_letters
        WHERE position BETWEEN receipts.id * 4096 AND receipts.id * 4096 + 4095
    )
FROM receipts ORDER BY id;

-- name: delete_receipt
-- Forgets a settled batch: its ids are new if they come again.
DELETE FROM receipts WHERE id = ?;

-- name: put_settlement
-- Records what became of events of one batch.
INSERT INTO settlements (position, settled_ms, outcomes) VALUES (?, ?, ?);

-- name: settlements
-- Reads the settlements of one batch.
SELECT settled_ms, outcomes FROM settlements WHERE position BETWEEN ? AND ? ORDER BY position;

-- name: delete_settlements
-- Forgets the settlements of a batch.
DELETE FROM settlements WHERE position BETWEEN ? AND ?;

-- name: claims
-- Reads all claims.
SELECT id, claimed_ms, positions FROM claims ORDER BY id;

-- name: put_claim
-- Counts an attempt for positions before their handlers run.
INSERT INTO claims (id, claimed_ms, positions) VALUES (?, ?, ?);

-- name: shrink_claim
-- Takes positions out of a claim that holds others still.
UPDATE claims SET positions = ?2 WHERE id = ?1;

-- name: delete_claim
-- Ends a claim.
DELETE FROM claims WHERE id = ?;

-- name: delete_claims
-- Ends all claims, once a start has counted what they left.
DELETE FROM claims;

-- name: count_crash
-- Counts an attempt that a crash cut short.
INSERT INTO troubled (position, attempts, not_before_ms, redrives, received_ms)
VALUES (?, 1, 0, 0, 0) ON CONFLICT (position) DO UPDATE SET attempts = attempts + 1;

-- name: put_retry
-- Keeps the attempts of an event and when it may be tried again.
INSERT INTO troubled (position, attempts, not_before_ms, redrives, received_ms)
VALUES (?, ?, ?, 0, 0) ON CONFLICT (position) DO UPDATE
SET attempts = excluded.attempts, not_before_ms = excluded.not_before_ms;

-- name: put_redriven
-- Marks an event that came back from the dead letters.
INSERT INTO troubled (position, attempts, not_before_ms, redrives, received_ms)
VALUES (?, 0, 0, ?, ?);

-- name: troubled
-- Reads the unsettled events of one batch that are not plain first tries.
SELECT position, attempts, not_before_ms, redrives, received_ms FROM troubled
WHERE position BETWEEN ? AND ?;

-- name: delete_troubled
-- Forgets them when the batch is settled.
DELETE FROM troubled WHERE position BETWEEN ? AND ?;

-- name: put_step
-- Adds to the history of an event.
INSERT INTO steps (key, position, at_ms, what, detail) VALUES (?, ?, ?, ?, ?);

-- name: steps
-- Reads the history of an event, oldest first.
SELECT position, at_ms, what, detail FROM steps WHERE key = ? ORDER BY id;

-- name: prune_steps
-- Forgets the oldest steps that are older than a time.
DELETE FROM steps WHERE id IN (
    SELECT id FROM (SELECT id, at_ms FROM steps ORDER BY id LIMIT ?2) WHERE at_ms < ?1
);

-- name: counts
-- Reads the conservation law.
SELECT kind, accepted, delivered, buffered, dead_lettered, duplicates, replayed
FROM inbound_counts ORDER BY kind;

-- name: drops
-- Reads what was dropped, by reason.
SELECT kind, reason, events FROM inbound_drops ORDER BY kind, reason;

-- name: add_counts
-- Moves the counters of a kind.
INSERT INTO inbound_counts
    (kind, accepted, delivered, buffered, dead_lettered, duplicates, replayed)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind) DO UPDATE SET
    accepted = accepted + excluded.accepted,
    delivered = delivered + excluded.delivered,
    buffered = buffered + excluded.buffered,
    dead_lettered = dead_lettered + excluded.dead_lettered,
    duplicates = duplicates + excluded.duplicates,
    replayed = replayed + excluded.replayed;

-- name: add_drops
-- Counts dropped events of a kind and reason.
INSERT INTO inbound_drops (kind, reason, events) VALUES (?, ?, ?)
ON CONFLICT (kind, reason) DO UPDATE SET events = events + excluded.events;

-- name: backlog
-- Counts what is stored and not settled.
SELECT coalesce(sum(buffered), 0) FROM inbound_counts;

-- name: next_pack_keys
-- Gives the number of the next row of pack keys; numbers are not reused.
SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'pack_keys';

-- name: put_pack_keys
-- Stores the replay keys of one commit.
INSERT INTO pack_keys (id, stored_ms, keys) VALUES (?, ?, ?);

-- name: pack_keys_after
-- Reads the rows that no partition holds yet.
SELECT id, keys FROM pack_keys WHERE id > ? ORDER BY id;

-- name: pack_keys_exist
-- Tells whether a row is still within retention.
SELECT 1 FROM pack_keys WHERE id = ?;

-- name: pack_keys_between
-- Tells whether any row of a range is still within retention.
SELECT 1 FROM pack_keys WHERE id BETWEEN ? AND ? LIMIT 1;

-- name: old_pack_keys
-- Lists rows of pack keys, oldest first.
SELECT id, stored_ms, keys FROM pack_keys ORDER BY id;

-- name: delete_pack_keys
-- Forgets a row of pack keys.
DELETE FROM pack_keys WHERE id = ?;

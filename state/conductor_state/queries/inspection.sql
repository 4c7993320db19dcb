-- name: open_batches
-- Lists the batches that hold unsettled events: number, how many events came, their kinds.
SELECT receipts.id, receipts.events, receipts.kinds
FROM receipts JOIN bodies ON bodies.id = receipts.id;

-- name: bodies_alone
-- Counts batches whose receipt is missing.
SELECT count(*) FROM bodies WHERE id NOT IN (SELECT id FROM receipts);

-- name: dead_by_kind
-- Counts dead letters.
SELECT kind, count(*) FROM dead_letters GROUP BY kind;

-- name: queued_by_kind
-- Counts what waits for the conductor, and its bytes.
SELECT kind, count(*), sum(length(body)) FROM outbox GROUP BY kind;

-- name: queue_counters
-- Reads what the outbox says of itself, with its drops added up.
SELECT
    kind, accepted, delivered, events, bytes,
    (SELECT coalesce(sum(d.events), 0) FROM outbox_dropped AS d WHERE d.kind = c.kind)
FROM outbox_counts AS c;

-- name: claims
-- Counts the claims of handlers, running or left by a crash, and dates the oldest.
SELECT count(*), min(claimed_ms) FROM claims;

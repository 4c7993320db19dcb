-- name: order
-- One work order.
SELECT wo_id, title, target, rule, priority, status, not_before, attempts, token, holder,
  lease_until, last_error, source, body, digest, received_ts, updated_ts
FROM plan_orders WHERE wo_id = ?;

-- name: orders
-- Work orders of a status, or all, by turn.
SELECT wo_id, title, target, rule, priority, status, not_before, attempts, token, holder,
  lease_until, last_error, source, body, digest, received_ts, updated_ts
FROM plan_orders
WHERE (:status IS NULL OR status = :status) AND (:target IS NULL OR target = :target)
ORDER BY priority, received_ts, wo_id LIMIT :limit;

-- name: next_order
-- The order of a target whose turn it is.
SELECT wo_id, title, target, rule, priority, status, not_before, attempts, token, holder,
  lease_until, last_error, source, body, digest, received_ts, updated_ts
FROM plan_orders
WHERE target = :target AND status = 'QUEUED' AND not_before <= :now
ORDER BY priority, received_ts, wo_id LIMIT 1;

-- name: overdue_orders
-- Orders whose holder was not heard of for too long.
SELECT wo_id, title, target, rule, priority, status, not_before, attempts, token, holder,
  lease_until, last_error, source, body, digest, received_ts, updated_ts
FROM plan_orders WHERE status = 'CLAIMED' AND lease_until <= ? ORDER BY lease_until, wo_id;

-- name: order_counts
-- How many orders there are of each status, and since when the oldest of them waits.
SELECT status, count(*), min(received_ts) FROM plan_orders GROUP BY status ORDER BY status;

-- name: put_order
-- A new order, or one that was given up and comes again.
INSERT INTO plan_orders (wo_id, title, target, rule, priority, status, not_before, attempts, token,
  source, body, digest, received_ts, updated_ts)
VALUES (:wo_id, :title, :target, :rule, :priority, 'QUEUED', :not_before, 0, 0,
  :source, :body_json, :digest, :updated_ts, :updated_ts)
ON CONFLICT (wo_id) DO UPDATE SET title = excluded.title, target = excluded.target,
  rule = excluded.rule, priority = excluded.priority, status = 'QUEUED',
  not_before = excluded.not_before, attempts = 0, holder = NULL, lease_until = NULL,
  last_error = NULL, source = excluded.source, body = excluded.body, digest = excluded.digest,
  received_ts = excluded.received_ts, updated_ts = excluded.updated_ts
WHERE plan_orders.status = 'DEAD';

-- name: claim_order
-- An order gets a holder and the next token.
UPDATE plan_orders SET status = 'CLAIMED', attempts = :attempt, token = :token, holder = :holder,
  lease_until = :lease_until, updated_ts = :updated_ts
WHERE wo_id = :wo_id AND status = 'QUEUED' AND token = :token - 1;

-- name: end_order
-- The holder is through with it, one way or the other.
UPDATE plan_orders SET status = :status, not_before = :not_before, holder = NULL,
  lease_until = NULL, last_error = :error, updated_ts = :updated_ts
WHERE wo_id = :wo_id AND status = 'CLAIMED' AND token = :token;

-- name: redrive_order
-- A dead order is queued again.
UPDATE plan_orders SET status = 'QUEUED', not_before = '', attempts = 0, last_error = NULL,
  updated_ts = :updated_ts
WHERE wo_id = :wo_id AND status = 'DEAD';

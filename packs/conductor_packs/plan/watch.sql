-- name: tables
-- Which of the two tables are there that show whether plans were made, and by which version.
SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('plan_keys', 'plan_outbox');

-- name: due
-- Whether a change waits to be pushed, or a lease ran out.
SELECT EXISTS (SELECT 1 FROM plan_outbox)
  OR EXISTS (SELECT 1 FROM plan_claims WHERE actor IS NOT NULL AND lease_until <= :now)
  OR EXISTS (SELECT 1 FROM plan_orders WHERE status = 'CLAIMED' AND lease_until <= :now);

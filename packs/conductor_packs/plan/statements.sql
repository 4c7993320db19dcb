-- name: present
-- One row when the plan's tables are there.
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'plan_keys';

-- name: plans
-- Every plan, oldest first.
SELECT plan_id, title, owner_agent, status, version, created_ts, updated_ts
FROM plans ORDER BY created_ts, plan_id;

-- name: plan
-- One plan.
SELECT plan_id, title, owner_agent, status, version, created_ts, updated_ts
FROM plans WHERE plan_id = ?;

-- name: items
-- The items of a plan, oldest first.
SELECT item_id, plan_id, kind, title, state, priority, assigned_to, due_ts, version, created_ts,
  updated_ts, exec_status, exec_ready_ts, exec_request_ts, exec_result_ts, exec_request_json,
  exec_result_json, exec_error, estimate
FROM plan_items WHERE plan_id = ? ORDER BY created_ts, item_id;

-- name: item
-- One item.
SELECT item_id, plan_id, kind, title, state, priority, assigned_to, due_ts, version, created_ts,
  updated_ts, exec_status, exec_ready_ts, exec_request_ts, exec_result_ts, exec_request_json,
  exec_result_json, exec_error, estimate
FROM plan_items WHERE item_id = ?;

-- name: links
-- The links of a plan, oldest first.
SELECT link_id, plan_id, from_item_id, to_item_id, link_type, created_ts
FROM plan_links WHERE plan_id = ? ORDER BY created_ts, link_id;

-- name: link
-- One link by its id.
SELECT link_id, plan_id, from_item_id, to_item_id, link_type, created_ts
FROM plan_links WHERE link_id = ?;

-- name: same_link
-- The link between two items, if there is one; a RELATED one counts in both directions.
SELECT link_id, plan_id, from_item_id, to_item_id, link_type, created_ts
FROM plan_links
WHERE link_type = :link_type
  AND ((from_item_id = :from_item_id AND to_item_id = :to_item_id)
    OR (link_type = 'RELATED' AND from_item_id = :to_item_id AND to_item_id = :from_item_id));

-- name: parent
-- The item of which an item is a part.
SELECT to_item_id FROM plan_links WHERE from_item_id = ? AND link_type = 'PARENT';

-- name: waits_for
-- The items that an item waits for: those it depends on, and its parts.
SELECT to_item_id FROM plan_links WHERE from_item_id = :item AND link_type = 'DEPENDS_ON'
UNION
SELECT from_item_id FROM plan_links WHERE to_item_id = :item AND link_type = 'PARENT';

-- name: open_needs
-- What keeps an item from being done: dependencies that are not DONE, parts that are not closed.
SELECT items.item_id, items.state, 'DEPENDS_ON' FROM plan_links AS links
JOIN plan_items AS items ON items.item_id = links.to_item_id
WHERE links.from_item_id = :item AND links.link_type = 'DEPENDS_ON' AND items.state <> 'DONE'
UNION ALL
SELECT items.item_id, items.state, 'PARENT' FROM plan_links AS links
JOIN plan_items AS items ON items.item_id = links.from_item_id
WHERE links.to_item_id = :item AND links.link_type = 'PARENT'
  AND items.state NOT IN ('DONE', 'CANCELLED')
ORDER BY 1, 3;

-- name: claim
-- Who holds an item, or held it.
SELECT item_id, plan_id, actor, token, strikes, claimed_ts, lease_until, ttl_s, sequence, entry_hash
FROM plan_claims WHERE item_id = ?;

-- name: claims
-- The claims of a plan's items.
SELECT item_id, plan_id, actor, token, strikes, claimed_ts, lease_until, ttl_s, sequence, entry_hash
FROM plan_claims WHERE plan_id = ?;

-- name: overdue_claims
-- Claims whose lease ran out, the longest overdue first.
SELECT item_id, plan_id, actor, token, strikes, claimed_ts, lease_until, ttl_s, sequence, entry_hash
FROM plan_claims WHERE actor IS NOT NULL AND lease_until <= ? ORDER BY lease_until, item_id;

-- name: reservations
-- Every reserved path, of all plans: files know no plans.
SELECT item_id, path FROM plan_reservations ORDER BY path, item_id;

-- name: key
-- What an idempotency key stands for.
SELECT request_hash, sequence, entry_hash, event_type, payload FROM plan_keys WHERE key = ?;

-- name: put_outbox
-- Remember a change that must be pushed.
INSERT INTO plan_outbox (sequence, entry_hash, event_type, actor, payload) VALUES (?, ?, ?, ?, ?);

-- name: outbox_present
-- One row when the outbox is there.
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'plan_outbox';

-- name: outbox
-- The oldest changes that were not pushed.
SELECT sequence, entry_hash, event_type, actor, payload FROM plan_outbox ORDER BY sequence LIMIT ?;

-- name: clear_outbox
-- Forget what was pushed, up to a sequence.
DELETE FROM plan_outbox WHERE sequence <= ?;

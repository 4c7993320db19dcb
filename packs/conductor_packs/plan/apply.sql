-- name: create_plan
-- A new plan, at version 1.
INSERT INTO plans (plan_id, title, owner_agent, status, version, created_ts, updated_ts)
VALUES (:plan_id, :title, :owner_agent, :status, :version, :updated_ts, :updated_ts);

-- name: update_plan
-- A change of the plan itself, only at the version it was decided on.
UPDATE plans SET title = coalesce(:title, title), owner_agent = coalesce(:owner_agent, owner_agent),
  status = coalesce(:status, status), version = :new_version, updated_ts = :updated_ts
WHERE plan_id = :plan_id AND version = :expected_version;

-- name: add_item
-- A new item, at version 1.
INSERT INTO plan_items (item_id, plan_id, kind, title, state, priority, assigned_to, due_ts,
  version, created_ts, updated_ts, estimate)
VALUES (:item_id, :plan_id, :kind, :title, :state, :priority, :assigned_to, :due_ts,
  :version, :updated_ts, :updated_ts, :estimate);

-- name: update_item
-- All editable fields of an item, only at the version that the change was decided on.
UPDATE plan_items SET kind = :kind, title = :title, priority = :priority,
  assigned_to = :assigned_to, due_ts = :due_ts, estimate = :estimate,
  version = :new_version, updated_ts = :updated_ts
WHERE item_id = :item_id AND version = :expected_version;

-- name: move_item
-- Another state, only at the version and from the state that the move was decided on.
UPDATE plan_items SET state = :to_state, version = :new_version, updated_ts = :updated_ts
WHERE item_id = :item_id AND version = :expected_version AND state = :from_state;

-- name: mark_ready
-- First leg of the handshake; an earlier round is forgotten, the journal keeps it.
UPDATE plan_items SET exec_status = :exec_status, exec_ready_ts = :updated_ts,
  exec_request_ts = NULL, exec_result_ts = NULL, exec_request_json = NULL,
  exec_result_json = NULL, exec_error = NULL, version = :new_version, updated_ts = :updated_ts
WHERE item_id = :item_id AND version = :expected_version;

-- name: record_request
-- Second leg of the handshake.
UPDATE plan_items SET exec_status = :exec_status, exec_request_ts = :updated_ts,
  exec_request_json = :request_json, version = :new_version, updated_ts = :updated_ts
WHERE item_id = :item_id AND version = :expected_version;

-- name: record_result
-- Third leg of the handshake.
UPDATE plan_items SET exec_status = :exec_status, exec_result_ts = :updated_ts,
  exec_result_json = :result_json, exec_error = :error,
  version = :new_version, updated_ts = :updated_ts
WHERE item_id = :item_id AND version = :expected_version;

-- name: add_link
-- A new link.
INSERT INTO plan_links (link_id, plan_id, from_item_id, to_item_id, link_type, created_ts)
VALUES (:link_id, :plan_id, :from_item_id, :to_item_id, :link_type, :updated_ts);

-- name: remove_link
-- One link less.
DELETE FROM plan_links WHERE link_id = :link_id;

-- name: claim
-- A new holder with the next token; nothing if the token is not the next one.
INSERT INTO plan_claims (item_id, plan_id, actor, token, strikes, claimed_ts, lease_until, ttl_s,
  sequence, entry_hash)
VALUES (:item_id, :plan_id, :holder, :token, 0, :updated_ts, :lease_until, :ttl_s, :sequence,
  :hash)
ON CONFLICT (item_id) DO UPDATE SET actor = excluded.actor, token = excluded.token,
  claimed_ts = excluded.claimed_ts, lease_until = excluded.lease_until, ttl_s = excluded.ttl_s,
  sequence = excluded.sequence, entry_hash = excluded.entry_hash
WHERE plan_claims.actor IS NULL AND plan_claims.token = excluded.token - 1;

-- name: renew_lease
-- A longer lease, only for the holder of the token.
UPDATE plan_claims SET lease_until = :lease_until, ttl_s = :ttl_s
WHERE item_id = :item_id AND token = :token AND actor IS NOT NULL;

-- name: end_claim
-- Nobody holds the item any more; the token stays, so that the next one is higher.
UPDATE plan_claims SET actor = NULL, claimed_ts = NULL, lease_until = NULL, ttl_s = NULL,
  sequence = NULL, entry_hash = NULL, strikes = coalesce(:strikes, strikes)
WHERE item_id = :item_id;

-- name: reserve
-- A path for an item; once is enough.
INSERT INTO plan_reservations (item_id, path) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: free_paths
-- The paths of an item are free again.
DELETE FROM plan_reservations WHERE item_id = ?;

-- name: put_key
-- What an idempotency key stands for.
INSERT INTO plan_keys (key, request_hash, sequence, entry_hash, event_type, payload)
VALUES (?, ?, ?, ?, ?, ?);

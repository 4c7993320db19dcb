-- name: plans
-- One row for each plan; its version moves when the plan itself changes, not when an item does.
CREATE TABLE IF NOT EXISTS plans (
  plan_id TEXT NOT NULL PRIMARY KEY,
  title TEXT NOT NULL,
  owner_agent TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('ACTIVE', 'ARCHIVED')),
  version INTEGER NOT NULL CHECK (version >= 1),
  created_ts TEXT NOT NULL,
  updated_ts TEXT NOT NULL
);

-- name: plan_items
-- One row for each item; ids are unique over all plans of a workspace.
CREATE TABLE IF NOT EXISTS plan_items (
  item_id TEXT NOT NULL PRIMARY KEY,
  plan_id TEXT NOT NULL REFERENCES plans (plan_id),
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('TODO', 'IN_PROGRESS', 'BLOCKED', 'DONE', 'CANCELLED')),
  priority INTEGER NOT NULL,
  assigned_to TEXT,
  due_ts TEXT,
  version INTEGER NOT NULL CHECK (version >= 1),
  created_ts TEXT NOT NULL,
  updated_ts TEXT NOT NULL,
  exec_status TEXT NOT NULL DEFAULT 'NONE',
  exec_ready_ts TEXT,
  exec_request_ts TEXT,
  exec_result_ts TEXT,
  exec_request_json TEXT,
  exec_result_json TEXT,
  exec_error TEXT,
  estimate INTEGER
);

-- name: plan_items_by_plan
-- What a plan's listing and its graph read.
CREATE INDEX IF NOT EXISTS plan_items_by_plan ON plan_items (plan_id, state);

-- name: plan_links
-- One row for each link: `from` waits for `to` (DEPENDS_ON), is part of it (PARENT), or is RELATED.
CREATE TABLE IF NOT EXISTS plan_links (
  link_id TEXT NOT NULL PRIMARY KEY,
  plan_id TEXT NOT NULL REFERENCES plans (plan_id),
  from_item_id TEXT NOT NULL REFERENCES plan_items (item_id),
  to_item_id TEXT NOT NULL REFERENCES plan_items (item_id),
  link_type TEXT NOT NULL CHECK (link_type IN ('DEPENDS_ON', 'RELATED', 'PARENT')),
  created_ts TEXT NOT NULL,
  UNIQUE (from_item_id, to_item_id, link_type)
);

-- name: plan_links_by_target
-- Finds what waits for an item.
CREATE INDEX IF NOT EXISTS plan_links_by_target ON plan_links (to_item_id, link_type);

-- name: plan_links_by_plan
-- What a plan's graph reads.
CREATE INDEX IF NOT EXISTS plan_links_by_plan ON plan_links (plan_id);

-- name: plan_claims
-- One row for each item that was ever claimed; `actor` is NULL while nobody holds it. The token
-- grows with every claim and never goes back, so an old holder's writes can be told from the new.
CREATE TABLE IF NOT EXISTS plan_claims (
  item_id TEXT NOT NULL PRIMARY KEY REFERENCES plan_items (item_id),
  plan_id TEXT NOT NULL REFERENCES plans (plan_id),
  actor TEXT,
  token INTEGER NOT NULL,
  strikes INTEGER NOT NULL,
  claimed_ts TEXT,
  lease_until TEXT,
  ttl_s INTEGER,
  sequence INTEGER,
  entry_hash TEXT
);

-- name: plan_claims_by_lease
-- Finds leases that ran out.
CREATE INDEX IF NOT EXISTS plan_claims_by_lease ON plan_claims (lease_until)
WHERE actor IS NOT NULL;

-- name: plan_reservations
-- Paths that the holder of an item has reserved, for as long as the claim lasts.
CREATE TABLE IF NOT EXISTS plan_reservations (
  item_id TEXT NOT NULL REFERENCES plan_items (item_id),
  path TEXT NOT NULL,
  PRIMARY KEY (item_id, path)
) WITHOUT ROWID;

-- name: plan_keys
-- Idempotency keys with the entry that each one made.
CREATE TABLE IF NOT EXISTS plan_keys (
  key TEXT NOT NULL PRIMARY KEY,
  request_hash TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  entry_hash TEXT NOT NULL,
  event_type TEXT NOT NULL,
  payload TEXT NOT NULL
) WITHOUT ROWID;

-- name: plan_orders
-- Work orders with where they go and what became of them.
CREATE TABLE IF NOT EXISTS plan_orders (
  wo_id TEXT NOT NULL PRIMARY KEY,
  title TEXT NOT NULL,
  target TEXT NOT NULL,
  rule TEXT NOT NULL,
  priority TEXT NOT NULL CHECK (priority IN ('P0', 'P1', 'P2', 'P3')),
  status TEXT NOT NULL CHECK (status IN ('QUEUED', 'CLAIMED', 'DONE', 'DEAD')),
  not_before TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  token INTEGER NOT NULL,
  holder TEXT,
  lease_until TEXT,
  last_error TEXT,
  source TEXT NOT NULL,
  body TEXT NOT NULL,
  digest TEXT NOT NULL,
  received_ts TEXT NOT NULL,
  updated_ts TEXT NOT NULL
);

-- name: plan_orders_by_turn
-- What is handed out next.
CREATE INDEX IF NOT EXISTS plan_orders_by_turn
ON plan_orders (target, status, priority, received_ts);

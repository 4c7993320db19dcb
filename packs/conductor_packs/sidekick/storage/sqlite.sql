-- sidekick.db: the records as JSON, their order, their text and the audit trail.

-- name: version
-- Which migrations were applied.
PRAGMA user_version

-- name: set_version_1
-- Said in the transaction of the migration.
PRAGMA user_version = 1

-- name: create_records
-- The position is the order in which records were first stored, and the row of a memory's text.
CREATE TABLE records (
  position INTEGER PRIMARY KEY,
  store TEXT NOT NULL,
  id TEXT NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (store, id)
) STRICT

-- name: create_audit
-- Append only.
CREATE TABLE audit (position INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT

-- name: create_generations
-- Raised by each commit that changes a store: tells a reader whether what it parsed still holds.
CREATE TABLE generations (store TEXT PRIMARY KEY, generation INTEGER NOT NULL) STRICT, WITHOUT ROWID

-- name: generation
-- No row: the store was never written.
SELECT generation FROM generations WHERE store = ?

-- name: raise_generation
-- Once for each store and commit.
INSERT INTO generations (store, generation) VALUES (?, 1)
ON CONFLICT (store) DO UPDATE SET generation = generation + 1 RETURNING generation

-- name: all_records
-- A whole store, in stored order.
SELECT body FROM records WHERE store = ? ORDER BY position

-- name: get_record
-- One record.
SELECT body FROM records WHERE store = ? AND id = ?

-- name: put_record
-- A record that is there keeps its position.
INSERT INTO records (store, id, body) VALUES (?, ?, ?)
ON CONFLICT (store, id) DO UPDATE SET body = excluded.body RETURNING position

-- name: drop_record
-- Answers the position, for the text.
DELETE FROM records WHERE store = ? AND id = ? RETURNING position

-- name: append_audit
-- One event.
INSERT INTO audit (body) VALUES (?)

-- name: all_audit
-- Oldest first.
SELECT body FROM audit ORDER BY position

-- name: last_audit
-- Newest first.
SELECT body FROM audit ORDER BY position DESC LIMIT ?

-- name: count_audit
-- How many.
SELECT count(*) FROM audit

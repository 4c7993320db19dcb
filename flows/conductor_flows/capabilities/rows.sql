-- name: create
-- Named bytes on shelves; keys compare by code points, which is the order of their UTF-8.
CREATE TABLE IF NOT EXISTS rows (
  shelf TEXT NOT NULL,
  key TEXT NOT NULL,
  data BLOB NOT NULL,
  UNIQUE (shelf, key)
);

-- name: get
-- One row.
SELECT data FROM rows WHERE shelf = ? AND key = ?;

-- name: put
-- Keep a row in the place of what was there.
INSERT INTO rows (shelf, key, data) VALUES (?, ?, ?)
ON CONFLICT (shelf, key) DO UPDATE SET data = excluded.data;

-- name: drop
-- Forget a row.
DELETE FROM rows WHERE shelf = ? AND key = ?;

-- name: keys
-- Keys with a prefix, after another key.
SELECT key FROM rows
WHERE shelf = :shelf AND key >= :prefix AND key < :prefix || char(1114111) AND key > :after
ORDER BY key LIMIT :limit;

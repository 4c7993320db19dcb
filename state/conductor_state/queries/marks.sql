-- name: get
-- Reads one mark.
SELECT value FROM marks WHERE name = ?;

-- name: put
-- Sets one mark.
INSERT INTO marks (name, value) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

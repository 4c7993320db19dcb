-- Full-text recall of memories; the same table in memory and in sidekick.db.

-- name: create_text
-- The id rides along unindexed, so that a hit needs no second table.
CREATE VIRTUAL TABLE memory_text USING fts5 (
  content, id UNINDEXED, tokenize = 'porter unicode61 remove_diacritics 2'
)

-- name: put_text
-- The caller gives the row: FTS5 finds a row to drop by nothing else.
INSERT INTO memory_text (rowid, content, id) VALUES (?, ?, ?)

-- name: drop_text
-- Forget one text.
DELETE FROM memory_text WHERE rowid = ?

-- name: match
-- All hits, best first; rank is bm25, which is negative, and less is better.
SELECT id, rank, rowid FROM memory_text WHERE memory_text MATCH ? ORDER BY rank

-- name: snippet
-- The best 24 words of one hit.
SELECT snippet(memory_text, 0, ?, ?, ?, 24) FROM memory_text
WHERE memory_text MATCH ? AND rowid = ?

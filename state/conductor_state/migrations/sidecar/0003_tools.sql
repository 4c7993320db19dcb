-- Leave for single calls of tools, from the question to its use. `checksum` is the CRC-32 of the
-- other columns: a damaged row must never read as leave.
CREATE TABLE approvals (
    id INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    pack TEXT NOT NULL,
    tool TEXT NOT NULL,
    actor TEXT NOT NULL,
    names TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    summary TEXT NOT NULL,
    requested_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied', 'used')),
    decided_by TEXT,
    reason TEXT,
    decided_ms INTEGER,
    used_ms INTEGER,
    checksum INTEGER NOT NULL
);
CREATE INDEX approvals_by_action ON approvals (input_hash, tool, actor);
CREATE INDEX approvals_by_end ON approvals (expires_ms);

-- Answers by idempotency key; `output` is NULL while the call is in progress, `checksum` is the
-- CRC-32 of the answer.
CREATE TABLE tool_results (
    id INTEGER PRIMARY KEY,
    actor TEXT NOT NULL,
    tool TEXT NOT NULL,
    key TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    output BLOB,
    checksum INTEGER NOT NULL,
    UNIQUE (key, tool, actor)
);
CREATE INDEX tool_results_by_time ON tool_results (at_ms);
CREATE INDEX tool_results_running ON tool_results (id) WHERE output IS NULL;

-- Single facts that a store keeps for the next start, by name.
CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

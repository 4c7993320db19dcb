-- The history's random name: a lost database means a new one.
CREATE TABLE history (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch TEXT NOT NULL
);
INSERT INTO history VALUES (1, lower(hex(randomblob(16))));

-- Workspaces that have events. `first` and `last` bound the downward sequences that are kept.
CREATE TABLE workspaces (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL DEFAULT 1,
    last INTEGER NOT NULL DEFAULT 0
);

-- Events going down. `place` is the workspace's number times 2^40 plus the sequence: one key that
-- keeps a workspace's events side by side.
CREATE TABLE downward (
    place INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);

-- Where an id may stand; `key` is a CRC-32 of workspace and id, the row at `place` decides.
CREATE TABLE downward_ids (
    key INTEGER NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (key, place)
) WITHOUT ROWID;

-- Events that sidecars pushed, in the order in which they were stored.
CREATE TABLE upward (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX upward_by_workspace ON upward (workspace);

CREATE TABLE upward_ids (
    key INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (key, sequence)
) WITHOUT ROWID;

CREATE TABLE anchors (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    size INTEGER NOT NULL,
    hash TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE INDEX anchors_by_workspace ON anchors (workspace);

-- Issued tokens, by digest only.
CREATE TABLE tokens (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    token_id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('enrollment', 'credential')),
    workspace TEXT NOT NULL,
    issued_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER,
    used_ms INTEGER
);
CREATE INDEX tokens_by_digest ON tokens (digest);

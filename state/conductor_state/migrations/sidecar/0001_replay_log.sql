-- The inbound side: what was received, what became of it, and what must not run again.

-- One row: the link's cursor, the next batch number (never reused) and the newest receipt's time.
CREATE TABLE log_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    next_batch INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
);
INSERT INTO log_state VALUES (1, '', 0, 1, 0);

-- One row for each received batch, kept for the retention window; keys are 16 bytes each.
CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    received_ms INTEGER NOT NULL,
    epoch TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    redriven INTEGER NOT NULL,
    events INTEGER NOT NULL,
    kinds BLOB NOT NULL,
    keys BLOB NOT NULL
);

-- The events of a batch as received; gone when the last of them is settled.
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    events BLOB NOT NULL
);

-- What became of events of one batch in one settlement; the id is the first position among them.
CREATE TABLE settlements (
    position INTEGER PRIMARY KEY,
    settled_ms INTEGER NOT NULL,
    outcomes BLOB NOT NULL
);

-- Positions whose handlers may be running now; what a crash leaves here is reaped.
CREATE TABLE claims (
    id INTEGER PRIMARY KEY,
    claimed_ms INTEGER NOT NULL,
    positions BLOB NOT NULL
);

-- Unsettled events that are not plain first tries.
CREATE TABLE troubled (
    position INTEGER PRIMARY KEY,
    attempts INTEGER NOT NULL,
    not_before_ms INTEGER NOT NULL,
    redrives INTEGER NOT NULL,
    received_ms INTEGER NOT NULL
);

-- What happened to events beyond receipt and settlement, for `conductor explain`.
CREATE TABLE steps (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    position INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX steps_by_key ON steps (key);

-- Events that were given up, until someone redrives or drops them.
CREATE TABLE dead_letters (
    position INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error_code TEXT NOT NULL,
    error TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    buried_ms INTEGER NOT NULL,
    redrives INTEGER NOT NULL
);
CREATE INDEX dead_letters_by_event ON dead_letters (event_id);

-- The conservation law by kind, changed in the commits that move events.
CREATE TABLE inbound_counts (
    kind TEXT PRIMARY KEY,
    accepted INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    buffered INTEGER NOT NULL,
    dead_lettered INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    replayed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE inbound_drops (
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (kind, reason)
) WITHOUT ROWID;

-- Replay keys of packs: 16-byte digests of (slug, key), one row for each commit that brought some.
CREATE TABLE pack_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stored_ms INTEGER NOT NULL,
    keys BLOB NOT NULL
);

-- Sealed parts of the two key indexes (family 0: events, 1: pack keys).
CREATE TABLE key_partitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    family INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    keys INTEGER NOT NULL
);
-- The keys of a partition by their first seven bits, then the rows that brought them;
-- the id is the partition times 128 plus those bits.
CREATE TABLE key_buckets (
    id INTEGER PRIMARY KEY,
    keys BLOB NOT NULL
);
-- Copies of the filters in memory, so that a start need not read every key.
CREATE TABLE key_filters (
    generation INTEGER NOT NULL,
    slice INTEGER NOT NULL,
    partitions INTEGER NOT NULL,
    marks BLOB NOT NULL,
    PRIMARY KEY (generation, slice)
);

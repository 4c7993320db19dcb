-- Events on their way up, until the conductor confirms them. AUTOINCREMENT: a position that was
-- ever seen outside is never given to another event.
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    put_ms INTEGER NOT NULL,
    body BLOB NOT NULL,
    trace TEXT
);

-- The conservation law, kind by kind: accepted = delivered + events + sum of outbox_dropped.
-- `events` and `bytes` are what is in `outbox`; they change in the same commits.
CREATE TABLE outbox_counts (
    kind TEXT NOT NULL PRIMARY KEY,
    accepted INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE outbox_dropped (
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (kind, reason)
) WITHOUT ROWID;

-- Where a queued id stands, for events that are too old for the set of recent ids in memory. An
-- index on outbox.event_id would cost a random page for every put and every confirm; these two
-- are filled in sorted portions, keep stale keys, and are emptied as a whole when the queue has
-- moved past them. `key` is the id's CRC-32: ids may share one, the row at `position` decides.
CREATE TABLE outbox_ids_0 (
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (key, position)
) WITHOUT ROWID;
CREATE TABLE outbox_ids_1 (
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (key, position)
) WITHOUT ROWID;

-- One row. `filling` is the table that takes new keys; `last_N` and `keys_N` say up to which
-- position table N reaches and about how many keys it has; what stands after `spilled` is recent.
CREATE TABLE outbox_ids_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    filling INTEGER NOT NULL,
    spilled INTEGER NOT NULL,
    last_0 INTEGER NOT NULL,
    keys_0 INTEGER NOT NULL,
    last_1 INTEGER NOT NULL,
    keys_1 INTEGER NOT NULL
);
INSERT INTO outbox_ids_state VALUES (1, 0, 0, 0, 0, 0, 0);

-- What left the outbox within retention, a row for all that left together: 16 bytes of digest for
-- each event, and the kinds and times packed.
CREATE TABLE outbox_gone (
    batch INTEGER PRIMARY KEY AUTOINCREMENT,
    gone_ms INTEGER NOT NULL,
    events INTEGER NOT NULL,
    digests BLOB NOT NULL,
    detail BLOB NOT NULL
);
CREATE INDEX outbox_gone_by_time ON outbox_gone (gone_ms);

-- name: create_runs
-- One row for each run; the payload, never a token.
CREATE TABLE IF NOT EXISTS runs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id TEXT NOT NULL UNIQUE,
  flow TEXT NOT NULL,
  state TEXT NOT NULL,
  request BLOB NOT NULL,
  request_hash TEXT NOT NULL,
  event_id TEXT NOT NULL,
  version TEXT NOT NULL DEFAULT '',
  code_hash TEXT NOT NULL DEFAULT '',
  checkpoint_id TEXT,
  due_ms INTEGER,
  not_before_ms INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  starts INTEGER NOT NULL DEFAULT 0,
  halts INTEGER NOT NULL DEFAULT 0,
  outcome BLOB,
  nodes BLOB NOT NULL DEFAULT X'7B7D',
  told INTEGER NOT NULL DEFAULT 1,
  took_ms INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL
);

-- name: create_runs_by_state
-- What waits is found without reading what has ended.
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, seq);

-- name: create_runs_untold
-- What is to be told again after a crash.
CREATE INDEX IF NOT EXISTS runs_untold ON runs (seq) WHERE told = 0;

-- name: create_answers
-- What came for runs that halted, until they have gone on.
CREATE TABLE IF NOT EXISTS answers (
  run_id TEXT NOT NULL,
  wait_id TEXT NOT NULL,
  payload BLOB NOT NULL,
  PRIMARY KEY (run_id, wait_id)
);

-- name: create_traces
-- Which trace a run belongs to, where its request had one; its request is the same without.
CREATE TABLE IF NOT EXISTS traces (
  run_id TEXT PRIMARY KEY,
  traceparent TEXT NOT NULL
) WITHOUT ROWID;

-- name: trace
-- The first request of a run names its trace.
INSERT INTO traces (run_id, traceparent) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: trace_of
-- The trace of a run.
SELECT traceparent FROM traces WHERE run_id = ?;

-- name: drop_trace
-- Nobody asks any more.
DELETE FROM traces WHERE run_id = ?;

-- name: insert
-- A run that waits for its turn.
INSERT INTO runs (run_id, flow, state, request, request_hash, event_id, created_ms, changed_ms)
VALUES (:run_id, :flow, 'queued', :request, :request_hash, :event_id, :now, :now);

-- name: get
-- One run.
SELECT run_id, flow, state, request, request_hash, event_id, version, code_hash, checkpoint_id,
  due_ms, attempts, starts, halts, outcome, nodes, told, took_ms, created_ms, changed_ms
FROM runs WHERE run_id = ?;

-- name: next
-- The runs that may begin, oldest first.
SELECT run_id FROM runs WHERE state = 'queued' AND not_before_ms <= :now ORDER BY seq LIMIT :limit;

-- name: claim
-- It begins.
UPDATE runs SET state = 'running', attempts = attempts + 1, starts = starts + 1, changed_ms = :now
WHERE run_id = :run_id AND state = 'queued';

-- name: bind
-- The flow that it runs with, before anything of it runs.
UPDATE runs SET version = :version, code_hash = :code_hash WHERE run_id = :run_id;

-- name: put_back
-- It was stopped, or cannot go on yet: that was no attempt.
UPDATE runs SET state = 'queued', attempts = max(0, attempts - 1), not_before_ms = :not_before,
  changed_ms = :now
WHERE run_id = :run_id AND state = 'running';

-- name: recover
-- What the process before this one was at.
UPDATE runs SET state = 'queued', not_before_ms = 0 WHERE state = 'running';

-- name: finish
-- It has ended, or halted.
UPDATE runs SET state = :state, outcome = :outcome, nodes = :nodes, took_ms = took_ms + :took,
  checkpoint_id = :checkpoint_id, due_ms = :due, halts = halts + :halted, attempts = 0, told = 0,
  changed_ms = :now
WHERE run_id = :run_id;

-- name: told
-- Everybody knows; one that halted and has an answer goes on.
UPDATE runs SET told = 1 WHERE run_id = ?;

-- name: untold
-- What is to be told, oldest first.
SELECT run_id FROM runs WHERE told = 0 ORDER BY seq LIMIT 32;

-- name: answer
-- The first answer to a wait; a second one changes nothing.
INSERT INTO answers (run_id, wait_id, payload) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: answers
-- What came for one run.
SELECT wait_id, payload FROM answers WHERE run_id = ? ORDER BY rowid;

-- name: drop_answer
-- It is in the checkpoint.
DELETE FROM answers WHERE run_id = ? AND wait_id = ?;

-- name: drop_answers
-- The run is over.
DELETE FROM answers WHERE run_id = ?;

-- name: go_on
-- One that halted has what it waits for.
UPDATE runs SET state = 'queued', not_before_ms = 0, changed_ms = :now
WHERE run_id = :run_id AND state = 'halted';

-- name: again
-- One that failed, and of which that is told, is tried again from its checkpoint.
UPDATE runs SET state = 'queued', checkpoint_id = :checkpoint_id, outcome = NULL, due_ms = NULL,
  attempts = 0, not_before_ms = 0, changed_ms = :now
WHERE run_id = :run_id AND state = 'failed' AND told = 1;

-- name: due
-- Those that halted and whose time has come.
SELECT run_id FROM runs WHERE state = 'halted' AND due_ms <= :now AND not_before_ms <= :now
ORDER BY due_ms LIMIT 100;

-- name: hold
-- One that is due cannot go on with the flow that there is; it is looked at again later.
UPDATE runs SET not_before_ms = :not_before WHERE run_id = :run_id AND state = 'halted';

-- name: counts
-- How many there are in each state.
SELECT flow, state, count(*) FROM runs GROUP BY flow, state;

-- name: recent
-- The newest runs.
SELECT run_id FROM runs WHERE :flow IN ('', flow) AND :state IN ('', state)
ORDER BY seq DESC LIMIT :limit;

-- name: old
-- What has ended long ago.
SELECT run_id FROM runs
WHERE state IN ('completed', 'failed') AND told = 1 AND changed_ms < :before LIMIT 100;

-- name: forget
-- Nobody asks any more.
DELETE FROM runs WHERE run_id = ?;

-- name: journal_table
-- In the journal's file: which entries there are, so that a crash writes none twice.
CREATE TABLE IF NOT EXISTS flows_told (
  run_id TEXT NOT NULL,
  what TEXT NOT NULL,
  PRIMARY KEY (run_id, what)
) WITHOUT ROWID;

-- name: journal_once
-- An entry is about to be appended, in this commit.
INSERT INTO flows_told (run_id, what) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: journal_forget
-- Nothing more is said of the run.
DELETE FROM flows_told WHERE run_id = ?;

-- The hash-chained journal. Several processes append, each under the write lock of this file.

-- The name of the log, and its head as the last writer left it: a cross-check, never the source.
CREATE TABLE journal_log (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  log_id TEXT NOT NULL CHECK (typeof(log_id) = 'text'),
  size INTEGER NOT NULL CHECK (typeof(size) = 'integer'),
  head TEXT NOT NULL CHECK (typeof(head) = 'text')
);

-- One row per entry; every column but log_id, which is the file's, is covered by `hash` here.
CREATE TABLE journal (
  sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
  chain_version INTEGER NOT NULL CHECK (typeof(chain_version) = 'integer'),
  time TEXT NOT NULL CHECK (typeof(time) = 'text'),
  event_type TEXT NOT NULL CHECK (typeof(event_type) = 'text'),
  actor TEXT NOT NULL CHECK (typeof(actor) = 'text'),
  session_id TEXT NOT NULL CHECK (typeof(session_id) = 'text'),
  task_id TEXT NOT NULL CHECK (typeof(task_id) = 'text'),
  payload TEXT NOT NULL CHECK (typeof(payload) = 'text'),
  previous TEXT NOT NULL UNIQUE CHECK (typeof(previous) = 'text'),
  hash TEXT NOT NULL CHECK (typeof(hash) = 'text')
);

-- An entry is never changed.
CREATE TRIGGER journal_refuses_update BEFORE UPDATE ON journal
BEGIN
  SELECT RAISE(ABORT, 'the journal is append-only: no UPDATE');
END;

-- An entry is never taken out.
CREATE TRIGGER journal_refuses_delete BEFORE DELETE ON journal
BEGIN
  SELECT RAISE(ABORT, 'the journal is append-only: no DELETE');
END;

-- Only the next entry comes in; this also stops INSERT OR REPLACE, which fires no DELETE trigger.
CREATE TRIGGER journal_takes_the_next_entry BEFORE INSERT ON journal
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM journal)
  OR NEW.previous IS NOT coalesce(
    (SELECT hash FROM journal ORDER BY sequence DESC LIMIT 1), NEW.previous)
BEGIN
  SELECT RAISE(ABORT, 'the journal takes only the next entry');
END;

-- The name of a log never changes and its recorded size never shrinks.
CREATE TRIGGER journal_log_only_grows BEFORE UPDATE ON journal_log
WHEN NEW.log_id IS NOT OLD.log_id OR NEW.size < OLD.size
BEGIN
  SELECT RAISE(ABORT, 'the journal is append-only: its record only grows');
END;

-- A log keeps its name.
CREATE TRIGGER journal_log_refuses_delete BEFORE DELETE ON journal_log
BEGIN
  SELECT RAISE(ABORT, 'the journal is append-only: it keeps its name');
END;

-- name: plan_outbox
-- Changes that were not yet pushed to the conductor, in the commit that made them. Not derived
-- from the journal: a rebuilt plan is not pushed again.
CREATE TABLE IF NOT EXISTS plan_outbox (
  sequence INTEGER NOT NULL PRIMARY KEY,
  entry_hash TEXT NOT NULL,
  event_type TEXT NOT NULL,
  actor TEXT NOT NULL,
  payload TEXT NOT NULL
);

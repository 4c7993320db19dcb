-- The trace ids of the events of a batch that came with a trace context, 20 bytes each (see
-- `trace_ids`), so that `conductor explain` knows them when the bodies are gone; NULL for none.
ALTER TABLE receipts ADD COLUMN traces BLOB;

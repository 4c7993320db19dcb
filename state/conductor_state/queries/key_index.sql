-- name: partitions
-- Lists the sealed partitions of a family, oldest first.
SELECT id, generation, slot, first_row, last_row, keys FROM key_partitions
WHERE family = ? ORDER BY id;

-- name: partition_numbers
-- Lists the numbers of all complete partitions.
SELECT id FROM key_partitions;

-- name: highest_partition
-- Gives the highest number of a partition that was ever complete, so that none is reused.
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'key_partitions';

-- name: put_partition
-- Completes a partition: from now on it answers for its rows.
INSERT INTO key_partitions (id, family, generation, slot, first_row, last_row, keys)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: delete_partition
-- Forgets a partition none of whose rows is left.
DELETE FROM key_partitions WHERE id = ?;

-- name: put_bucket
-- Writes the keys of one first byte; written again after a crash in the middle of sealing.
INSERT OR REPLACE INTO key_buckets (id, keys) VALUES (?, ?);

-- name: bucket
-- Reads the keys of one partition and first byte.
SELECT keys FROM key_buckets WHERE id = ?;

-- name: buckets
-- Reads all the keys of a partition.
SELECT keys FROM key_buckets WHERE id BETWEEN ? AND ? ORDER BY id;

-- name: delete_buckets
-- Drops the keys of a partition, or what an unfinished sealing left.
DELETE FROM key_buckets WHERE id BETWEEN ? AND ?;

-- name: filter_slices
-- Reads the saved copy of a filter and how many partitions each slice knows.
SELECT slice, partitions, marks FROM key_filters WHERE generation = ? ORDER BY slice;

-- name: put_filter_slice
-- Saves one slice of a filter.
INSERT OR REPLACE INTO key_filters (generation, slice, partitions, marks) VALUES (?, ?, ?, ?);

-- name: delete_filter
-- Drops the saved copy of a filter whose partitions are all gone.
DELETE FROM key_filters WHERE generation = ?;

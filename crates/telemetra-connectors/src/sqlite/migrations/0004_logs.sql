-- Which log a partition's offsets count in: its id (a UUID in hex, NULL where logs have none) and the leadership that its
-- end was seen under. `begun_ms` says when a partition was begun behind records left out by wish, until its first event.
ALTER TABLE telemetra_position ADD COLUMN log_id TEXT;
ALTER TABLE telemetra_position ADD COLUMN log_epoch INTEGER;
ALTER TABLE telemetra_position ADD COLUMN begun_ms INTEGER;

-- Event time before which windows may lack what was left out so.
ALTER TABLE telemetra_job ADD COLUMN start_ms INTEGER;
ALTER TABLE telemetra_batch ADD COLUMN start_ms INTEGER;

-- Which log a partition's offsets count in: its id (a UUID in hex, NULL where logs have none) and the leadership that its
-- end was seen under. begun_ms says when a partition was begun behind records left out by wish, until its first event.
ALTER TABLE telemetra.position
    ADD COLUMN log_id text,
    ADD COLUMN log_epoch integer,
    ADD COLUMN begun_ms bigint;

-- Event time before which windows may lack what was left out so.
ALTER TABLE telemetra.job
    ADD COLUMN start_ms bigint;

ALTER TABLE telemetra.batch
    ADD COLUMN start_ms bigint;

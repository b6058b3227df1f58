-- The batch that wrote a moment: the one that made its window final. NULL is a row that is not ours.
ALTER TABLE moments ADD COLUMN batch_id INTEGER;

UPDATE moments SET batch_id = (
    SELECT w.batch_id FROM chat_summary_minute w
    WHERE w.stream_id = moments.stream_id AND w.window_start = moments.timestamp AND w.is_final);

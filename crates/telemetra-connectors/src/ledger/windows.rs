//! Rows of `chat_summary_minute` above a watermark.
//!
//! They are found by one seek per stream in the key, because an index on `is_final` would be rewritten with every
//! row. Adopted rows (`batch_id` NULL) take no part.

use telemetra_core::{logic::WindowCount, watermark::Watermark, window::WindowSpec};
use telemetra_engine::sink::SinkError;

use super::{Arg, Snapshot};

/// The result tables of the pipeline.
pub(crate) const TABLES: [&str; 2] = ["chat_summary_minute", "moments"];

/// All streams by one seek each, ending with a NULL: to be joined with the rows wanted of each. `CROSS JOIN` keeps
/// SQLite from turning the join around.
pub(crate) const STREAMS: &str = "
WITH RECURSIVE stream (id) AS (
    SELECT min(stream_id) FROM chat_summary_minute
    UNION ALL
    SELECT (SELECT min(stream_id) FROM chat_summary_minute WHERE stream_id > stream.id)
    FROM stream WHERE stream.id IS NOT NULL)";

/// Rows that are not final, and final rows that end after the watermark, each ordered by (stream, start).
///
/// # Errors
/// As [`Snapshot::each`].
pub(crate) fn above_watermark(
    db: &mut dyn Snapshot,
    window: WindowSpec,
    watermark: Watermark,
) -> Result<(Vec<WindowCount>, Vec<WindowCount>), SinkError> {
    let sql = format!(
        "{STREAMS} SELECT w.stream_id, w.window_start, w.chat_count, w.is_final
         FROM stream CROSS JOIN chat_summary_minute w
         WHERE w.stream_id = stream.id AND w.window_start > $1 AND w.batch_id IS NOT NULL"
    );
    let (mut open, mut closed_early) = (Vec::new(), Vec::new());
    db.each(&sql, &[after(window, watermark)], &mut |row| {
        let count = WindowCount { key: row.text(0)?, start_ms: row.instant(1)?, count: row.int(2)? };
        if row.bool(3)? { &mut closed_early } else { &mut open }.push(count);
        Ok(())
    })?;
    for rows in [&mut open, &mut closed_early] {
        rows.sort_by(|a, b| a.key.cmp(&b.key).then(a.start_ms.cmp(&b.start_ms)));
    }
    Ok((open, closed_early))
}

/// How many rows are not final, above `watermark`.
///
/// # Errors
/// As [`Snapshot::each`].
pub(crate) fn provisional(
    db: &mut dyn Snapshot,
    window: WindowSpec,
    watermark: Watermark,
) -> Result<u64, SinkError> {
    let sql = format!(
        "{STREAMS} SELECT count(*) AS open_rows FROM stream CROSS JOIN chat_summary_minute w
         WHERE w.stream_id = stream.id AND w.window_start > $1 AND w.batch_id IS NOT NULL AND NOT w.is_final"
    );
    let count = db.one(&sql, &[after(window, watermark)], |row| row.uint(0, "count"))?;
    Ok(count.unwrap_or(0))
}

/// Windows that start after this instant end after the watermark.
fn after(window: WindowSpec, watermark: Watermark) -> Arg<'static> {
    Arg::Instant(watermark.ms().map_or(i64::MIN, |ms| ms.saturating_sub(window.length_ms())))
}

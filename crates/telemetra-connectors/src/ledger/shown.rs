//! What a page shows of windows and moments, summed by the database; adopted rows are shown like ours.
//!
//! Streams are found by seeks in the key, since no index begins with the window's start; answers are bounded
//! by what is asked for and by [`super::reader`]'s page size. Adopted rows may hold NULL where ours cannot.

use telemetra_core::chat::shown::{MomentShown, RatePoint, StreamNow};
use telemetra_engine::sink::SinkError;

use super::{Arg, Snapshot, reader::page, windows::STREAMS};

/// See [`super::StoreReader::newest_ms`].
pub(super) fn newest_ms(db: &mut dyn Snapshot) -> Result<Option<i64>, SinkError> {
    let sql = format!(
        "{STREAMS} SELECT
             max((SELECT max(w.window_start) FROM chat_summary_minute w WHERE w.stream_id = stream.id)) AS newest
         FROM stream"
    );
    Ok(db.one(&sql, &[], |row| row.instant_or_null(0))?.flatten())
}

/// See [`super::StoreReader::rates`].
pub(super) fn rates(
    db: &mut dyn Snapshot,
    from_ms: i64,
    stream: Option<&str>,
) -> Result<Vec<RatePoint>, SinkError> {
    // The newest are kept if there are too many.
    let sql = format!(
        "{STREAMS} SELECT w.window_start, sum(w.chat_rate) AS rate,
             min(CASE WHEN w.is_final THEN 1 ELSE 0 END) AS all_final
         FROM stream CROSS JOIN chat_summary_minute w
         WHERE w.stream_id = stream.id AND w.window_start >= $1 AND (CAST($2 AS text) IS NULL OR stream.id = $2)
         GROUP BY w.window_start ORDER BY w.window_start DESC LIMIT $3"
    );
    let args = [Arg::Instant(from_ms), Arg::TextOrNull(stream), page(usize::MAX)?];
    let mut points = db.list(&sql, &args, |row| {
        let rate = row.real_or_null(1)?.unwrap_or_default();
        Ok(RatePoint { start_ms: row.instant(0)?, rate, is_final: row.bool(2)? })
    })?;
    points.reverse();
    Ok(points)
}

/// See [`super::StoreReader::streams`].
pub(super) fn streams(
    db: &mut dyn Snapshot,
    from_ms: i64,
    at_ms: i64,
    most: usize,
) -> Result<Vec<StreamNow>, SinkError> {
    let sql = format!(
        "{STREAMS}, counted AS MATERIALIZED (
             SELECT id, (SELECT CAST(sum(c.chat_count) AS bigint) FROM chat_summary_minute c
                         WHERE c.stream_id = stream.id AND c.window_start >= $1) AS total
             FROM stream),
         busy AS (
             SELECT id, total, (SELECT max(n.window_start) FROM chat_summary_minute n
                                WHERE n.stream_id = counted.id AND n.window_start BETWEEN $1 AND $2) AS newest
             FROM counted WHERE total IS NOT NULL ORDER BY total DESC, id LIMIT $3)
         SELECT w.stream_id, w.chat_rate, w.unique_chatters, w.avg_sentiment, w.avg_viewers, w.top_emotes,
             busy.total
         FROM busy CROSS JOIN chat_summary_minute w
         WHERE w.stream_id = busy.id AND w.window_start = busy.newest"
    );
    let args = [Arg::Instant(from_ms), Arg::Instant(at_ms), page(most)?];
    let mut streams = db.list(&sql, &args, |row| {
        let now = StreamNow {
            stream: row.text(0)?,
            rate: row.real_or_null(1)?.unwrap_or_default(),
            chatters: row.int_or_null(2)?.unwrap_or_default(),
            sentiment: row.real_or_null(3)?,
            viewers: row.real_or_null(4)?,
            emotes: row.texts_or_null(5)?.unwrap_or_default(),
        };
        Ok((row.int(6)?, now))
    })?;
    streams.sort_by(|(a_total, a), (b_total, b)| b_total.cmp(a_total).then_with(|| a.stream.cmp(&b.stream)));
    Ok(streams.into_iter().map(|(_, now)| now).collect())
}

/// See [`super::StoreReader::moments`].
pub(super) fn moments(db: &mut dyn Snapshot, most: usize) -> Result<Vec<MomentShown>, SinkError> {
    let sql =
        "SELECT m.stream_id, m.timestamp, m.description, m.intensity, m.metadata -> 'z_score' AS z_score
               FROM moments m ORDER BY m.id DESC LIMIT $1";
    db.list(sql, &[page(most)?], |row| {
        let z_score = row.text_or_null(4)?.and_then(|json| json.parse().ok());
        Ok(MomentShown {
            stream: row.text(0)?,
            start_ms: row.instant(1)?,
            description: row.text_or_null(2)?.unwrap_or_default(),
            rate: row.real_or_null(3)?.unwrap_or_default(),
            z_score: z_score.unwrap_or_default(),
        })
    })
}

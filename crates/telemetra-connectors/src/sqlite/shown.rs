//! What a page shows of windows and moments, summed by the database.
//!
//! Streams are found by seeks in the key, since no index begins with the window's start; answers are bounded
//! by what is asked for and by [`super::reader`]'s page size.

use rusqlite::{Connection, Row, params};
use telemetra_core::chat::shown::{MomentShown, RatePoint, StreamNow};
use telemetra_engine::sink::SinkError;

use super::{
    SqliteReader,
    connection::Failure,
    reader::{ms, page},
    text,
};
use crate::ledger::windows::STREAMS;

impl SqliteReader {
    /// Start of the newest window, provisional ones included, milliseconds; `None` without any.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn newest_ms(&mut self) -> Result<Option<i64>, SinkError> {
        self.snapshot(|db| newest_ms(db))
    }

    /// Per window start in `from_ms..`, ascending: sums over all streams, or the values of `stream`.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn rates(&mut self, from_ms: i64, stream: Option<&str>) -> Result<Vec<RatePoint>, SinkError> {
        self.snapshot(|db| rates(db, from_ms, stream))
    }

    /// The streams with most messages in the windows that start in `from_ms..`, busiest first, at most `most`,
    /// each with the values of its newest window that starts in `from_ms..=at_ms`.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn streams(&mut self, from_ms: i64, at_ms: i64, most: usize) -> Result<Vec<StreamNow>, SinkError> {
        self.snapshot(|db| streams(db, from_ms, at_ms, most))
    }

    /// The latest moments, latest first, at most `most`.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn moments(&mut self, most: usize) -> Result<Vec<MomentShown>, SinkError> {
        self.snapshot(|db| moments(db, most))
    }
}

fn newest_ms(db: &Connection) -> Result<Option<i64>, Failure> {
    let sql = format!(
        "{STREAMS} SELECT max((SELECT max(window_start) FROM chat_summary_minute w WHERE w.stream_id = stream.id))
         FROM stream"
    );
    let newest: Option<String> = db.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
    newest.as_deref().map(ms).transpose()
}

fn rates(db: &Connection, from_ms: i64, stream: Option<&str>) -> Result<Vec<RatePoint>, Failure> {
    // The newest are kept if there are too many.
    let sql = format!(
        "{STREAMS} SELECT w.window_start, sum(w.chat_rate), min(w.is_final)
         FROM stream CROSS JOIN chat_summary_minute w ON w.stream_id = stream.id AND w.window_start >= ?1
         WHERE ?2 IS NULL OR stream.id = ?2 GROUP BY w.window_start ORDER BY w.window_start DESC LIMIT ?3"
    );
    let arguments = params![text::instant(from_ms), stream, page(usize::MAX)?];
    let point =
        |row: &Row<'_>| Ok(RatePoint { start_ms: start(row, 0)?, rate: row.get(1)?, is_final: row.get(2)? });
    let mut points = list(db, &sql, arguments, point)?;
    points.reverse();
    Ok(points)
}

fn streams(db: &Connection, from_ms: i64, at_ms: i64, most: usize) -> Result<Vec<StreamNow>, Failure> {
    let sql = format!(
        "{STREAMS}, busy AS (
             SELECT id, (SELECT sum(chat_count) FROM chat_summary_minute w
                         WHERE w.stream_id = id AND w.window_start >= ?1) AS total
             FROM stream ORDER BY total DESC, id LIMIT ?3)
         SELECT w.stream_id, w.chat_rate, w.unique_chatters, w.avg_sentiment, w.avg_viewers, w.top_emotes
         FROM busy CROSS JOIN chat_summary_minute w
         ON w.stream_id = busy.id AND w.window_start = (
             SELECT max(window_start) FROM chat_summary_minute
             WHERE stream_id = busy.id AND window_start BETWEEN ?1 AND ?2)
         ORDER BY busy.total DESC, busy.id"
    );
    let arguments = params![text::instant(from_ms), text::instant(at_ms), page(most)?];
    list(db, &sql, arguments, |row| {
        let emotes: String = row.get(5)?;
        let names = "SELECT value FROM json_each(?1) ORDER BY key";
        Ok(StreamNow {
            stream: row.get(0)?,
            rate: row.get(1)?,
            chatters: row.get(2)?,
            sentiment: row.get(3)?,
            viewers: row.get(4)?,
            emotes: list(db, names, [emotes], |row| Ok(row.get(0)?))?,
        })
    })
}

fn moments(db: &Connection, most: usize) -> Result<Vec<MomentShown>, Failure> {
    let sql = "SELECT stream_id, timestamp, description, intensity, json_extract(metadata, '$.z_score')
               FROM moments ORDER BY id DESC LIMIT ?1";
    list(db, sql, params![page(most)?], |row| {
        Ok(MomentShown {
            stream: row.get(0)?,
            start_ms: start(row, 1)?,
            description: row.get(2)?,
            rate: row.get(3)?,
            z_score: row.get::<_, Option<f64>>(4)?.unwrap_or_default(),
        })
    })
}

fn start(row: &Row<'_>, column: usize) -> Result<i64, Failure> {
    ms(&row.get::<_, String>(column)?)
}

fn list<T>(
    db: &Connection,
    sql: &str,
    arguments: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(arguments)?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(read(row)?);
    }
    Ok(list)
}

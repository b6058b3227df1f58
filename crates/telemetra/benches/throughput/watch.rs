//! What somebody who reads the store sees of a job, and when: a connection of its own, in the parent.
//!
//! A batch counts from the moment at which its number is first seen in the job row, so what is measured ends with the
//! commit, and is late by at most the pause between two looks. Events of the feeder happen by the wall clock, so a
//! window's end is an instant of that clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use postgres::{Client, NoTls};
use rusqlite::{Connection, OpenFlags};
use telemetra::commands::run_loop::now_ms;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Looks at the job row until it is stopped.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Seen>>,
}

/// What was seen.
pub(crate) struct Seen {
    batches: Vec<Batch>,
    /// (batch, window's end, rows) of final rows and of moments.
    finals: Vec<(i64, i64, i64)>,
    moments: Vec<(i64, i64, i64)>,
}

/// A batch when it was first seen.
struct Batch {
    id: i64,
    at_ms: i64,
    watermark_ms: i64,
}

/// How late something was, milliseconds; over `rows` rows.
pub(crate) struct Delay {
    pub(crate) rows: i64,
    /// Instants at which windows ended: those of all streams end together.
    pub(crate) closings: usize,
    pub(crate) p50_ms: i64,
    pub(crate) p99_ms: i64,
}

impl Watch {
    /// The job makes its tables meanwhile; its first window closes later.
    pub(crate) const SET_UP: Duration = Duration::from_secs(8);

    /// Begins to look into the store at `address`.
    pub(crate) fn start(address: String) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            thread::sleep(Self::SET_UP);
            let mut reader = Reader::open(&address)?;
            let mut batches: Vec<Batch> = Vec::new();
            while !asked.load(Ordering::Relaxed) {
                let (id, watermark_ms) = reader.job()?;
                let at_ms = now_ms();
                if batches.last().is_none_or(|last| last.id < id) {
                    batches.extend(watermark_ms.map(|watermark_ms| Batch { id, at_ms, watermark_ms }));
                }
                thread::sleep(PAUSE);
            }
            let finals = reader.rows("window_end", "chat_summary_minute WHERE is_final")?;
            let moments = reader.rows("detected_at", "moments")?;
            Ok(Seen { batches, finals, moments })
        });
        Watch { stop, thread }
    }

    /// Ends it, after the job.
    pub(crate) fn stop(self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?
    }
}

impl Seen {
    /// From the end of a window to its final row, for what was seen from `from_ms` on.
    pub(crate) fn final_rows(&self, from_ms: i64) -> Option<Delay> {
        self.delay(&self.finals, from_ms)
    }

    /// From the end of a window to its moment, likewise.
    pub(crate) fn moments(&self, from_ms: i64) -> Option<Delay> {
        self.delay(&self.moments, from_ms)
    }

    fn delay(&self, rows: &[(i64, i64, i64)], from_ms: i64) -> Option<Delay> {
        let mut delays = Vec::new();
        for &(batch, end_ms, count) in rows {
            // Of those written before the first look nobody knows when; the last batch may not have been seen.
            let place = self.batches.partition_point(|seen| seen.id < batch);
            if let (1.., Some(seen)) = (place, self.batches.get(place))
                && seen.at_ms >= from_ms
            {
                delays.push((seen.at_ms - end_ms, count));
            }
        }
        delays.sort_unstable();
        let rows: i64 = delays.iter().map(|(_, count)| count).sum();
        let at = |share: f64| {
            let mut left = (rows as f64 * share).ceil() as i64;
            delays.iter().find(|(_, count)| {
                left -= count;
                left <= 0
            })
        };
        let closings = delays.len();
        Some(Delay { rows, closings, p50_ms: at(0.5)?.0, p99_ms: at(0.99)?.0 })
    }

    /// How far the newest event in the store lies behind the clock, milliseconds, just before the next batch is seen:
    /// the largest in `from_ms..to_ms`. `delay_ms` is the watermark's.
    pub(crate) fn behind_ms(&self, from_ms: i64, to_ms: i64, delay_ms: i64) -> Option<i64> {
        let behind = self.batches.windows(2).map(|pair| (pair[1].at_ms, pair[0].watermark_ms + delay_ms));
        behind.filter(|(at_ms, _)| (from_ms..to_ms).contains(at_ms)).map(|(at_ms, event)| at_ms - event).max()
    }
}

/// A connection to a store.
pub(crate) enum Reader {
    Sqlite(Connection),
    Postgres(Client),
}

impl Reader {
    pub(crate) fn open(address: &str) -> anyhow::Result<Reader> {
        let Some(path) = address.strip_prefix("sqlite:") else {
            return Ok(Reader::Postgres(Client::connect(address, NoTls)?));
        };
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Reader::Sqlite(connection))
    }

    /// Number and watermark of the newest batch.
    fn job(&mut self) -> anyhow::Result<(i64, Option<i64>)> {
        const COLUMNS: &str = "SELECT last_batch, watermark_ms FROM telemetra";
        match self {
            Reader::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(&format!("{COLUMNS}_job"))?;
                Ok(statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
            }
            Reader::Postgres(client) => {
                let row = client.query_one(&format!("{COLUMNS}.job"), &[])?;
                Ok((row.get(0), row.get(1)))
            }
        }
    }

    /// What the window of a stream counts that begins at `start_ms`; 0 without a row.
    pub(crate) fn chat_count(&mut self, stream: &str, start_ms: i64) -> anyhow::Result<i64> {
        const SUM: &str = "SELECT coalesce(max(chat_count), 0) FROM chat_summary_minute";
        match self {
            Reader::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(&format!(
                    "{SUM} WHERE stream_id = ?1 AND unixepoch(window_start) * 1000 = ?2"
                ))?;
                Ok(statement.query_row((stream, start_ms), |row| row.get(0))?)
            }
            Reader::Postgres(client) => {
                let sql =
                    format!("{SUM} WHERE stream_id = $1 AND window_start = to_timestamp($2::bigint / 1000)");
                let found: i64 = client.query_one(&sql, &[&stream, &start_ms])?.get(0);
                Ok(found)
            }
        }
    }

    /// Rows of `table` by batch and instant, milliseconds since the Unix epoch; windows end at whole seconds.
    fn rows(&mut self, instant: &str, table: &str) -> anyhow::Result<Vec<(i64, i64, i64)>> {
        match self {
            Reader::Sqlite(connection) => {
                let sql = format!(
                    "SELECT batch_id, unixepoch({instant}) * 1000, count(*) FROM {table} GROUP BY 1, 2"
                );
                let mut statement = connection.prepare(&sql)?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            }
            Reader::Postgres(client) => {
                let sql = format!(
                    "SELECT batch_id, extract(epoch FROM {instant})::bigint * 1000, count(*) FROM {table} \
                     GROUP BY 1, 2"
                );
                Ok(client.query(&sql, &[])?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
            }
        }
    }
}

//! What the page asks of the store. Times are milliseconds since the Unix epoch, UTC.

use serde::Serialize;
pub use telemetra_core::chat::shown::{MomentShown, RatePoint, StreamNow};

/// Queries of the page, one method each; implemented by the store's reader, on a connection of its own that
/// cannot write. Answers are bounded by the arguments.
pub trait PageData: Send {
    /// Start of the newest window, provisional ones included; `None` in an empty store.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_ms(&mut self) -> anyhow::Result<Option<i64>>;

    /// Per window start in `from_ms..`, ascending: sums over all streams, or the values of `stream`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn rates(&mut self, from_ms: i64, stream: Option<&str>) -> anyhow::Result<Vec<RatePoint>>;

    /// The streams with most messages in the windows that start in `from_ms..`, at most `most`, each with the
    /// values of its newest full window: the newest window start at or before `at_ms`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn streams(&mut self, from_ms: i64, at_ms: i64, most: usize) -> anyhow::Result<Vec<StreamNow>>;

    /// The newest moments, newest first, at most `most`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn moments(&mut self, most: usize) -> anyhow::Result<Vec<MomentShown>>;
}

/// What `/api/chart` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chart {
    /// First window start asked for.
    pub from_ms: i64,
    /// Start of the newest window.
    pub newest_ms: i64,
    /// All streams, or the one asked for.
    pub points: Vec<RatePoint>,
    /// The busiest streams.
    pub streams: Vec<StreamNow>,
    /// Moments, newest first.
    pub moments: Vec<MomentShown>,
}

/// Most streams listed on the page.
const STREAMS_MAX: usize = 12;
/// Most moments listed on the page and marked in its chart.
const MOMENTS_MAX: usize = 50;

/// Puts the chart of the last `minutes` together. `window_ms` is the windows' length: the newest window that
/// can be full began so long before the newest one.
///
/// # Errors
/// When the store cannot be read.
pub fn chart(
    data: &mut dyn PageData,
    minutes: i64,
    stream: Option<&str>,
    window_ms: i64,
) -> anyhow::Result<Chart> {
    let Some(newest_ms) = data.newest_ms()? else { return Ok(Chart::default()) };
    let from_ms = newest_ms - minutes * 60_000;
    let mut moments = data.moments(MOMENTS_MAX)?;
    moments.retain(|moment| stream.is_none_or(|stream| stream == moment.stream));
    Ok(Chart {
        from_ms,
        newest_ms,
        points: data.rates(from_ms, stream)?,
        streams: data.streams(from_ms, newest_ms - window_ms, STREAMS_MAX)?,
        moments,
    })
}

//! What people are shown of windows and moments: plain data between a store's reader and a page.
//!
//! Times are milliseconds since the Unix epoch, UTC.

use serde::Serialize;

/// One point of a chart: a window start, over one stream or all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RatePoint {
    /// Window start.
    pub start_ms: i64,
    /// Messages a second.
    pub rate: f64,
    /// Whether every window summed here is final.
    pub is_final: bool,
}

/// One stream in a recent window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamNow {
    /// Stream id.
    pub stream: String,
    /// Messages a second.
    pub rate: f64,
    /// Distinct chatters.
    pub chatters: i64,
    /// Mean sentiment, -1..=1.
    pub sentiment: Option<f64>,
    /// Mean of the viewer samples.
    pub viewers: Option<f64>,
    /// Emotes by count, most first.
    pub emotes: Vec<String>,
}

/// One moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MomentShown {
    /// Stream id.
    pub stream: String,
    /// Window start.
    pub start_ms: i64,
    /// One sentence.
    pub description: String,
    /// Messages a second.
    pub rate: f64,
    /// How far above the windows before.
    pub z_score: f64,
}

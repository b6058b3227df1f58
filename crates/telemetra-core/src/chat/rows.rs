//! The rows that chat analytics writes, and what it reads back to write them.

/// Rows of one batch. No two window rows have the same (stream, start).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRows {
    /// Windows to upsert, ordered by (stream, start). Values are absolute.
    pub windows: Vec<WindowRow>,
    /// Moments of the windows that became final.
    pub moments: Vec<MomentRow>,
}

/// One row of `chat_summary_minute`.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// Stream id.
    pub stream: String,
    /// Window start, milliseconds.
    pub start_ms: i64,
    /// Window end, milliseconds.
    pub end_ms: i64,
    /// Messages.
    pub chat_count: i64,
    /// Distinct chatters.
    pub unique_chatters: i64,
    /// Mean sentiment over all messages, -1..=1; `None` without messages.
    pub avg_sentiment: Option<f64>,
    /// Messages with a score above zero.
    pub positive_count: i64,
    /// Messages with a score below zero.
    pub negative_count: i64,
    /// Messages a second.
    pub chat_rate: f64,
    /// Mean of the viewer samples; `None` without any.
    pub avg_viewers: Option<f64>,
    /// Up to ten emotes with their counts, by count descending, then name ascending.
    pub top_emotes: Vec<(String, u64)>,
    /// How far the count lies above earlier windows; `None` while open or with fewer than five of them.
    pub z_score: Option<f64>,
    /// Whether `z_score` is above the threshold.
    pub is_anomaly: bool,
    /// The watermark has passed the window's end: the row never changes again.
    pub is_final: bool,
}

/// One row of `moments`, type `chat_spike`.
#[derive(Clone, Debug, PartialEq)]
pub struct MomentRow {
    /// Stream id.
    pub stream: String,
    /// Window start, milliseconds.
    pub start_ms: i64,
    /// Window end, milliseconds: `detected_at`.
    pub end_ms: i64,
    /// One sentence for people.
    pub description: String,
    /// Messages a second.
    pub intensity: f64,
    /// Messages in the window.
    pub chat_count: i64,
    /// Distinct chatters in the window.
    pub unique_chatters: i64,
    /// Mean of the viewer samples.
    pub avg_viewers: Option<f64>,
    /// The z-score that made it a moment.
    pub z_score: f64,
}

/// Asks for the counts of final rows of these streams before a window start (milliseconds).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaselineAsk(pub Vec<(String, i64)>);

/// For each asked stream its latest final rows before that start, at most
/// [`crate::limits::BASELINE_WINDOWS`], as (start, count), ascending by start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaselineAnswer(pub Vec<Vec<(i64, i64)>>);

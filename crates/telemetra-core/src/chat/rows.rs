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
    /// The window begins before the job did: events of it may be missing.
    pub incomplete: bool,
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

/// What a batch must know of the store before it is written. Windows are told by stream and start (milliseconds).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Asks for the counts of the final rows of each of these streams before that start.
    pub baselines: Vec<(String, i64)>,
    /// Windows that the batch would write though they begin before the job did: which of them have a row of another
    /// program, which was adopted?
    pub beside: Vec<(String, i64)>,
}

impl Ask {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.baselines.is_empty() && self.beside.is_empty()
    }
}

/// The store's answer to an [`Ask`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For each stream asked about its latest final rows before that start, at most
    /// [`crate::limits::BASELINE_WINDOWS`], as (start, count), ascending by start.
    pub baselines: Vec<Vec<(i64, i64)>>,
    /// Those of [`Ask::beside`] that have an adopted row, in any order. They are never written.
    pub adopted: Vec<(String, i64)>,
}

//! Every bound on what a single record or a pane may hold, by name.

/// Longest record that is decoded, bytes without the line end; a longer one is `record_too_long`.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a JSON record; deeper is `limit:depth`.
pub const JSON_DEPTH_MAX: usize = 32;
/// Longest stream id, characters; longer is `too_long:stream_id`.
pub const STREAM_CHARS_MAX: usize = 255;
/// Longest user id or user name, bytes; longer is `limit:user_id`.
pub const USER_BYTES_MAX: usize = 1_024;
/// Longest emote name, bytes; longer is `limit:emotes`.
pub const EMOTE_BYTES_MAX: usize = 128;
/// Most emotes in one message; more is `limit:emotes`.
pub const EMOTES_PER_MESSAGE_MAX: usize = 500;
/// Largest viewer count: what a signed 64-bit column holds; more is `limit:viewer_count`.
pub const VIEWER_COUNT_MAX: u64 = i64::MAX as u64;
/// Emote names of which a pane keeps exact counts: those with the smallest hash.
pub const EMOTES_PER_PANE_MAX: usize = 1_000;
/// Emote names shown in a window's row.
pub const TOP_EMOTES: usize = 10;
/// Earlier windows that a z-score looks back on.
pub const BASELINE_WINDOWS: usize = 10;
/// Earlier windows needed before a z-score is given.
pub const BASELINE_WINDOWS_MIN: usize = 5;
/// Most panes in one window (length ÷ slide).
pub const PANES_PER_WINDOW_MAX: i64 = 1_440;
/// Last events of a partition whose median time is its position.
pub const POSITION_EVENTS: usize = 20;

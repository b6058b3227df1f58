//! The chat pipeline's meaning: chat and viewer events to windows per stream, and moments.
//!
//! | file | owns |
//! |---|---|
//! | `event` | what a decoded event holds |
//! | `decode` | record to event or refusal: the scanner for plain good records, serde_json for all else |
//! | `sentiment` | the score of a message |
//! | `fold` | events to a partial: per (stream, pane) aggregates |
//! | `users` | distinct chatters: bit masks of panes |
//! | `emotes` | emote names and counts, the top ten |
//! | `panes` | the open panes and windows: taking in a batch, letting go of what is closed |
//! | `overlay`, `delta` | a batch merged over the open panes, as a whole and per stream |
//! | `emit` | windows to rows, final and provisional |
//! | `check` | the check sums of the open panes, computed anew |
//! | `moments` | z-scores over earlier windows, peaks |
//! | `shown` | what people are shown of the rows |

mod check;
pub mod decode;
mod delta;
mod emit;
mod emotes;
pub mod event;
mod fold;
mod moments;
mod overlay;
mod panes;
pub mod rows;
pub mod sentiment;
pub mod shown;
mod users;

#[cfg(test)]
mod tests;

pub use self::{fold::Partial, overlay::Overlay, panes::Open};
use crate::{
    logic::{EmitRequest, Emitted, Logic, MergeError, OpenCheck, WindowCount},
    record::{Origin, Record, Reject},
    watermark::Watermark,
    window::WindowSpec,
};

/// What chat analytics is told: all of it but the last two changes meaning.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Length and slide of the windows.
    pub window: WindowSpec,
    /// Scores messages.
    pub sentiment: sentiment::Sentiment,
    /// Longest stream id, characters: what the store's column holds, at most
    /// [`crate::limits::STREAM_CHARS_MAX`].
    pub stream_chars_max: usize,
    /// z-score above which a window is an anomaly.
    pub anomaly_threshold: f64,
    /// Memory that the open panes may take, bytes.
    pub open_bytes_max: usize,
}

impl Logic for Chat {
    type Event<'r> = event::ChatEvent<'r>;
    type Scratch = decode::Scratch;
    type Partial = Partial;
    type Open = Open;
    type Overlay = Overlay;
    type Rows = rows::ChatRows;
    type Ask = rows::Ask;
    type Answer = rows::Answer;

    fn decode<'r>(
        &self,
        input: u8,
        record: Record<'r>,
        scratch: &'r mut decode::Scratch,
    ) -> Result<event::ChatEvent<'r>, Reject> {
        decode::decode(self, input, record, scratch)
    }

    fn begin(&self) -> Partial {
        Partial::default()
    }

    #[inline]
    fn fold(&self, partial: &mut Partial, pane: i64, event: &event::ChatEvent<'_>, _: &Origin<'_>) {
        partial.fold(pane, event);
    }

    fn open(&self, closed_early: Vec<WindowCount>) -> Open {
        Open::new(self.window, closed_early)
    }

    fn merge(&self, open: &Open, partials: Vec<Partial>) -> Result<Overlay, MergeError> {
        overlay::merge(open, partials, self.open_bytes_max)
    }

    fn ask(&self, open: &Open, overlay: &Overlay, request: &EmitRequest) -> rows::Ask {
        emit::ask(self.window, open, overlay, request)
    }

    fn emit(
        &self,
        open: &Open,
        overlay: &mut Overlay,
        answer: rows::Answer,
        request: &EmitRequest,
    ) -> Emitted<rows::ChatRows> {
        emit::emit(self, open, overlay, answer, request)
    }

    fn absorb(&self, open: &mut Open, overlay: Overlay, watermark: Watermark) {
        open.absorb(overlay, watermark);
    }

    fn check(&self, open: &Open, watermark: Watermark, largest_ms: Option<i64>) -> OpenCheck {
        check::check(open, watermark, largest_ms)
    }

    fn open_windows(&self, open: &Open, watermark: Watermark) -> Vec<WindowCount> {
        check::open_windows(open, watermark)
    }
}

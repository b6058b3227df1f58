//! What a pipeline computes, as pure functions that the engine drives.
//!
//! ```text
//! decode   record  -> event or refusal          (worker)
//! fold     events  -> partial                   (worker, one partial per split)
//! merge    open + partials -> overlay           (driver)
//! emit     open + overlay  -> rows              (driver)
//! absorb   open + overlay  -> open              (driver, once the commit is known applied)
//! ```
//! `merge` and `emit` never change the open panes: a batch whose commit is known not applied is forgotten by
//! dropping its overlay.

use crate::{
    record::{Origin, Record, Reject},
    watermark::Watermark,
};

/// What the engine must know of a decoded event.
pub trait Event {
    /// Event time, milliseconds since the Unix epoch, UTC. `None` if no window holds it: it is never late, and the
    /// watermark does not wait for it.
    fn time_ms(&self) -> Option<i64>;
    /// The key of the windows it belongs to, for the row of a late event.
    fn key(&self) -> &str;
    /// Whether it is summed by the law of counts (chat messages are, viewer samples are not).
    fn is_counted_in_windows(&self) -> bool;
}

/// Sums over the panes that are open at a watermark; committed with each batch and checked after a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCheck {
    /// Wrapping sum, over the open panes, of a hash of all that each holds.
    pub digest: u64,
    /// Sum of counts over the open windows.
    pub count: i64,
    /// End of the last open window that starts at or before the `largest_ms` given; milliseconds.
    pub end_ms: Option<i64>,
}

/// One window's count, for the check after a replay and for closing early.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowCount {
    /// The window's key: the stream.
    pub key: String,
    /// Window start, milliseconds.
    pub start_ms: i64,
    /// Messages in it.
    pub count: i64,
}

/// What `emit` is asked for.
#[derive(Clone, Copy, Debug)]
pub struct EmitRequest {
    /// The batch that will write the rows.
    pub batch_id: u64,
    /// Watermark committed by the batch before.
    pub from: Watermark,
    /// Watermark that this batch commits; windows that end in `from..=to` become final.
    pub to: Watermark,
    /// Largest confirmed event time over all partitions; bounds `OpenCheck::end_ms`.
    pub largest_ms: Option<i64>,
    /// Event time before which windows may lack events, because the job began behind them; `None` if it did not.
    /// Milliseconds. Rows of such windows are incomplete, and never take the place of an adopted row.
    pub start_ms: Option<i64>,
    /// Most provisional rows to write; `usize::MAX` in the last batch before an exit.
    pub provisional_rows_max: usize,
}

/// What `emit` returns.
#[derive(Clone, Debug)]
pub struct Emitted<R> {
    /// The rows to write.
    pub rows: R,
    /// Sum of counts over the rows that become final.
    pub final_count: i64,
    /// Counts that no row will ever hold: of events that fell into windows which were closed early ahead of the
    /// watermark, and of windows that close now and whose row is another program's.
    pub left_out: i64,
    /// The open panes after this batch.
    pub open: OpenCheck,
    /// Rows that become final.
    pub final_rows: usize,
    /// Provisional rows among `rows`.
    pub provisional_rows: usize,
    /// Windows that are open after this batch.
    pub open_windows: usize,
}

/// Why partials could not be merged; nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The open panes would exceed their memory budget.
    #[error(
        "open panes need {need_bytes} bytes, more than the {limit_bytes} allowed; the largest streams are {}",
        largest.iter().map(|(name, bytes)| format!("{name} ({bytes} bytes)")).collect::<Vec<_>>().join(", ")
    )]
    OverBudget {
        /// Bytes that the open panes would take.
        need_bytes: usize,
        /// The budget.
        limit_bytes: usize,
        /// The largest streams with their bytes, largest first, at most five.
        largest: Vec<(String, usize)>,
    },
}

/// A pipeline's meaning.
pub trait Logic: Send + Sync + 'static {
    /// A decoded event, borrowing from its record or from the scratch.
    type Event<'r>: Event;
    /// Buffers that decoding re-uses from record to record.
    type Scratch: Default;
    /// What one split folds into. Merging partials is associative and commutative.
    type Partial: Send;
    /// The open panes: a function of the log between each partition's replay and next offsets.
    type Open: Send;
    /// A batch merged over the open panes, not yet committed.
    type Overlay: Send;
    /// Rows for the sink.
    type Rows: Send + 'static;
    /// What `emit` must read back from the store.
    type Ask: Send;
    /// The store's answer to an `Ask`.
    type Answer: Send + Default;

    /// Decodes one record of input number `input`.
    fn decode<'r>(
        &self,
        input: u8,
        record: Record<'r>,
        scratch: &'r mut Self::Scratch,
    ) -> Result<Self::Event<'r>, Reject>;

    /// An empty partial.
    fn begin(&self) -> Self::Partial;

    /// Adds one event, read at `origin`, to pane number `pane`, which is 0 for one without a time.
    fn fold(&self, partial: &mut Self::Partial, pane: i64, event: &Self::Event<'_>, origin: &Origin<'_>);

    /// Open panes that hold nothing. `closed_early` are windows above the watermark that are final already:
    /// they are never written again, and what falls into them is counted as missed.
    fn open(&self, closed_early: Vec<WindowCount>) -> Self::Open;

    /// Merges the partials of a batch over the open panes.
    ///
    /// # Errors
    /// [`MergeError::OverBudget`] if the open panes would take more memory than allowed.
    fn merge(&self, open: &Self::Open, partials: Vec<Self::Partial>) -> Result<Self::Overlay, MergeError>;

    /// What `emit` will need from the store to make the windows final that `request` closes.
    fn ask(&self, open: &Self::Open, overlay: &Self::Overlay, request: &EmitRequest) -> Self::Ask;

    /// Makes the rows of the windows that `request` closes and of the changed open ones.
    fn emit(
        &self,
        open: &Self::Open,
        overlay: &mut Self::Overlay,
        answer: Self::Answer,
        request: &EmitRequest,
    ) -> Emitted<Self::Rows>;

    /// Makes an overlay part of the open panes and drops the panes and windows that `watermark` closed.
    fn absorb(&self, open: &mut Self::Open, overlay: Self::Overlay, watermark: Watermark);

    /// The check sums of `open`, computed anew from all it holds.
    fn check(&self, open: &Self::Open, watermark: Watermark, largest_ms: Option<i64>) -> OpenCheck;

    /// Counts of all open windows, ordered, for naming what differs after a replay.
    fn open_windows(&self, open: &Self::Open, watermark: Watermark) -> Vec<WindowCount>;
}

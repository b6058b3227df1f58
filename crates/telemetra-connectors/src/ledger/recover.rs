//! stub
use telemetra_core::{window::WindowSpec, watermark::Watermark};
use telemetra_engine::{sink::*, source::Input};
use super::Snapshot;
pub(crate) fn stands(_db: &mut dyn Snapshot, _job: &str, _w: WindowSpec, _i: &[Input]) -> Result<Option<Recovered>, SinkError> { Ok(None) }
pub(crate) fn nothing() -> Recovered { Recovered { epoch: 0, last_batch: 0, watermark: Watermark::NONE, open_end_ms: None, open_digest: 0, open_count: 0, meaning: None, totals: Totals::default(), positions: Vec::new(), segments: Vec::new(), open_rows: Vec::new(), closed_early: Vec::new() } }

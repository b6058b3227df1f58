//! A small second [`Logic`]: sums per key and pane, for trying the engine without a product.
//!
//! A record is text: `c TIME_MS KEY VALUE` is an event that the law of counts sums, `v` one that it does not;
//! anything else is refused as `syntax`. A final row looks back on the count of the final row before it, as
//! moments do, so a store that answers too early or too late shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use telemetra_core::{
    hash::{hash64, mix},
    logic::{EmitRequest, Emitted, Event, Logic, MergeError, OpenCheck, WindowCount},
    record::{Origin, Record, Reject},
    watermark::Watermark,
    window::WindowSpec,
};

use super::{
    reference::Known,
    sink::Lens,
    store::{Finding, SimRow, Written},
};

/// Sums of values per key and window.
#[derive(Clone, Debug)]
pub struct Sums {
    /// Length and slide of the windows.
    pub window: WindowSpec,
    /// Most open (key, pane) cells; more is over budget.
    pub cells_max: usize,
}

/// A decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumEvent<'r> {
    counts: bool,
    time_ms: i64,
    key: &'r str,
    value: i64,
}

impl Event for SumEvent<'_> {
    fn time_ms(&self) -> Option<i64> {
        Some(self.time_ms)
    }
    fn key(&self) -> &str {
        self.key
    }
    fn is_counted_in_windows(&self) -> bool {
        self.counts
    }
}

/// What one pane or window of a key holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    count: i64,
    all: i64,
    sum: i64,
}

impl Cell {
    fn add(&mut self, other: Cell) {
        self.count += other.count;
        self.all += other.all;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// Key and pane or window number.
type Slot = (Arc<str>, i64);
type Cells = BTreeMap<Slot, Cell>;

/// What one split folds into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumPartial(Cells);

/// The open panes.
#[derive(Clone, Debug, Default)]
pub struct SumOpen {
    cells: Cells,
    /// Open windows whose stored row is behind.
    dirty: BTreeSet<Slot>,
    /// The batch that last wrote each open window.
    written: BTreeMap<Slot, u64>,
    /// Windows closed early, ahead of the watermark.
    closed_early: BTreeSet<Slot>,
}

/// A batch over the open panes.
#[derive(Clone, Debug, Default)]
pub struct SumOverlay {
    new: Cells,
    merged: Cells,
    dirty: BTreeSet<Slot>,
    written: Vec<(Slot, u64)>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumRow {
    key: Arc<str>,
    start_ms: i64,
    end_ms: i64,
    cell: Cell,
    before: Option<i64>,
    is_final: bool,
}

/// Asks for the count of the nearest final row of each key before a start, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumAsk(Vec<(Arc<str>, i64)>);

/// For each key asked, that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumAnswer(BTreeMap<Arc<str>, i64>);

impl Sums {
    /// Without a budget.
    pub fn new(window: WindowSpec) -> Self {
        Self { window, cells_max: usize::MAX }
    }

    /// How the simulated store sees it.
    pub fn lens() -> Lens<Sums> {
        Lens { written, answer }
    }

    /// The bytes of an event.
    pub fn record(counts: bool, time_ms: i64, key: &str, value: i64) -> Vec<u8> {
        format!("{} {time_ms} {key} {value}", if counts { 'c' } else { 'v' }).into_bytes()
    }

    /// What a record is, for the reference.
    pub fn known(record: &[u8]) -> Known {
        match parse(record) {
            Some(event) => {
                Known::Event { key: event.key.to_owned(), time_ms: event.time_ms, counts: event.counts }
            }
            None => Known::Refused,
        }
    }

    /// The data columns of a row that holds these records.
    pub fn text<'r>(records: impl Iterator<Item = &'r [u8]>, earlier: Option<&[(i64, i64)]>) -> String {
        let mut cell = Cell::default();
        for event in records.filter_map(parse) {
            cell.add(cell_of(&event));
        }
        columns(cell, earlier.and_then(|rows| rows.last()).map(|(_, count)| *count))
    }

    fn windows(&self, pane: i64) -> std::ops::RangeInclusive<i64> {
        pane + 1 - self.window.panes_per_window()..=pane
    }

    /// Sum over the panes of a window.
    fn sum(&self, cells: &Cells, window: &Slot) -> Cell {
        let last = window.1 + self.window.panes_per_window() - 1;
        let mut sum = Cell::default();
        cells.range(window.clone()..=(Arc::clone(&window.0), last)).for_each(|(_, cell)| sum.add(*cell));
        sum
    }

    /// Windows that hold something of `cells` and end after `from`, but not those closed early.
    fn windows_of(&self, cells: &Cells, from: Watermark, closed_early: &BTreeSet<Slot>) -> BTreeSet<Slot> {
        let all = cells
            .keys()
            .flat_map(|(key, pane)| self.windows(*pane).map(move |window| (Arc::clone(key), window)));
        all.filter(|slot| !from.has_passed(self.window.end_ms(slot.1)) && !closed_early.contains(slot))
            .collect()
    }

    fn closing(&self, open: &SumOpen, cells: &Cells, request: &EmitRequest) -> Vec<Slot> {
        let windows = self.windows_of(cells, request.from, &open.closed_early).into_iter();
        windows.filter(|slot| request.to.has_passed(self.window.end_ms(slot.1))).collect()
    }

    fn row(&self, cells: &Cells, slot: &Slot, before: Option<i64>, is_final: bool) -> SumRow {
        SumRow {
            key: Arc::clone(&slot.0),
            start_ms: self.window.start_ms(slot.1),
            end_ms: self.window.end_ms(slot.1),
            cell: self.sum(cells, slot),
            before,
            is_final,
        }
    }

    fn check_cells(
        &self,
        cells: &Cells,
        closed_early: &BTreeSet<Slot>,
        watermark: Watermark,
        largest_ms: Option<i64>,
    ) -> OpenCheck {
        let mut check = OpenCheck::default();
        for ((key, pane), cell) in cells {
            if self.window.is_pane_closed(*pane, watermark) {
                continue;
            }
            let parts = [*pane, cell.count, cell.all, cell.sum];
            let hash =
                parts.iter().fold(hash64(key.as_bytes()), |hash, part| mix(hash, part.cast_unsigned()));
            check.digest = check.digest.wrapping_add(hash);
        }
        for slot in self.windows_of(cells, watermark, closed_early) {
            check.count += self.sum(cells, &slot).count;
            if largest_ms.is_some_and(|largest_ms| self.window.start_ms(slot.1) <= largest_ms) {
                check.end_ms = check.end_ms.max(Some(self.window.end_ms(slot.1)));
            }
        }
        check
    }
}

fn parse(record: &[u8]) -> Option<SumEvent<'_>> {
    let mut words = std::str::from_utf8(record).ok()?.split(' ');
    let counts = match words.next()? {
        "c" => true,
        "v" => false,
        _ => return None,
    };
    let (time_ms, key, value) = (words.next()?.parse().ok()?, words.next()?, words.next()?.parse().ok()?);
    (words.next().is_none() && !key.is_empty()).then_some(SumEvent { counts, time_ms, key, value })
}

fn cell_of(event: &SumEvent<'_>) -> Cell {
    Cell { count: i64::from(event.counts), all: 1, sum: event.value }
}

fn columns(cell: Cell, before: Option<i64>) -> String {
    let before = before.map_or("-".to_owned(), |count| count.to_string());
    format!("all={} sum={} before={before}", cell.all, cell.sum)
}

fn written(rows: &Vec<SumRow>) -> Written {
    let mut written = Written::default();
    for row in rows {
        let key = row.key.to_string();
        // A window that grew is a finding.
        if row.is_final && row.before.is_some_and(|before| row.cell.count > before) {
            let text = format!("count={}", row.cell.count);
            written.findings.push(Finding { key: key.clone(), start_ms: row.start_ms, text });
        }
        written.rows.push(SimRow {
            key,
            start_ms: row.start_ms,
            end_ms: row.end_ms,
            count: row.cell.count,
            is_final: row.is_final,
            text: columns(row.cell, row.before),
        });
    }
    written
}

fn answer(ask: &SumAsk, store: &super::store::Store) -> SumAnswer {
    let found = ask.0.iter().filter_map(|(key, start_ms)| {
        let (_, count) = *store.final_before(key, *start_ms, 1).last()?;
        Some((Arc::clone(key), count))
    });
    SumAnswer(found.collect())
}

impl Logic for Sums {
    type Event<'r> = SumEvent<'r>;
    type Scratch = ();
    type Partial = SumPartial;
    type Open = SumOpen;
    type Overlay = SumOverlay;
    type Rows = Vec<SumRow>;
    type Ask = SumAsk;
    type Answer = SumAnswer;

    fn decode<'r>(&self, _input: u8, record: Record<'r>, (): &'r mut ()) -> Result<SumEvent<'r>, Reject> {
        if record.truncated {
            return Err(Reject::RECORD_TOO_LONG);
        }
        parse(record.bytes).ok_or(Reject("syntax".into()))
    }

    fn begin(&self) -> SumPartial {
        SumPartial::default()
    }

    fn fold(&self, partial: &mut SumPartial, pane: i64, event: &SumEvent<'_>, _: &Origin<'_>) {
        partial.0.entry((event.key.into(), pane)).or_default().add(cell_of(event));
    }

    fn open(&self, closed_early: Vec<WindowCount>) -> SumOpen {
        let slot =
            |window: WindowCount| (Arc::from(window.key), window.start_ms.div_euclid(self.window.slide_ms()));
        SumOpen { closed_early: closed_early.into_iter().map(slot).collect(), ..SumOpen::default() }
    }

    fn merge(&self, open: &SumOpen, partials: Vec<SumPartial>) -> Result<SumOverlay, MergeError> {
        let mut new = Cells::new();
        for (slot, cell) in partials.into_iter().flat_map(|partial| partial.0) {
            new.entry(slot).or_default().add(cell);
        }
        let mut merged = open.cells.clone();
        for (slot, cell) in &new {
            merged.entry(slot.clone()).or_default().add(*cell);
        }
        if merged.len() > self.cells_max {
            let largest = merged.keys().last().map(|(key, _)| (key.to_string(), merged.len()));
            return Err(MergeError::OverBudget {
                need_bytes: merged.len(),
                limit_bytes: self.cells_max,
                largest: largest.into_iter().collect(),
            });
        }
        let mut dirty = self.windows_of(&new, Watermark::NONE, &open.closed_early);
        dirty.extend(open.dirty.iter().cloned());
        Ok(SumOverlay { new, merged, dirty, written: Vec::new() })
    }

    fn ask(&self, open: &SumOpen, overlay: &SumOverlay, request: &EmitRequest) -> SumAsk {
        let mut first: BTreeMap<Arc<str>, i64> = BTreeMap::new();
        for (key, window) in self.closing(open, &overlay.merged, request) {
            first.entry(key).or_insert_with(|| self.window.start_ms(window));
        }
        SumAsk(first.into_iter().collect())
    }

    fn emit(
        &self,
        open: &SumOpen,
        overlay: &mut SumOverlay,
        answer: SumAnswer,
        request: &EmitRequest,
    ) -> Emitted<Vec<SumRow>> {
        let mut before = answer.0;
        let mut rows = Vec::new();
        for slot in self.closing(open, &overlay.merged, request) {
            let row = self.row(&overlay.merged, &slot, before.get(&slot.0).copied(), true);
            before.insert(slot.0, row.cell.count);
            rows.push(row);
        }
        let final_count = rows.iter().map(|row| row.cell.count).sum();
        let final_rows = rows.len();
        overlay.dirty.retain(|slot| !request.to.has_passed(self.window.end_ms(slot.1)));
        let mut due: Vec<_> =
            overlay.dirty.iter().map(|slot| (open.written.get(slot).copied(), slot.clone())).collect();
        due.sort();
        for (_, slot) in due.into_iter().take(request.provisional_rows_max) {
            rows.push(self.row(&overlay.merged, &slot, None, false));
            overlay.dirty.remove(&slot);
            overlay.written.push((slot, request.batch_id));
        }
        let missed = overlay.new.iter().map(|((key, pane), cell)| {
            let early = self.windows(*pane).filter(|window| {
                !request.from.has_passed(self.window.end_ms(*window))
                    && open.closed_early.contains(&(Arc::clone(key), *window))
            });
            cell.count * i64::try_from(early.count()).expect("at most the panes of a window")
        });
        let left_out = missed.sum();
        let check = self.check_cells(&overlay.merged, &open.closed_early, request.to, request.largest_ms);
        let provisional_rows = rows.len() - final_rows;
        let open_windows = self.windows_of(&overlay.merged, request.to, &open.closed_early).len();
        Emitted { rows, final_count, left_out, open: check, final_rows, provisional_rows, open_windows }
    }

    fn absorb(&self, open: &mut SumOpen, overlay: SumOverlay, watermark: Watermark) {
        let is_open = |window: i64| !watermark.has_passed(self.window.end_ms(window));
        open.cells = overlay.merged;
        open.cells.retain(|(_, pane), _| is_open(*pane));
        open.dirty = overlay.dirty;
        open.dirty.retain(|(_, window)| is_open(*window));
        open.written.extend(overlay.written);
        open.written.retain(|(_, window), _| is_open(*window));
        open.closed_early.retain(|(_, window)| is_open(*window));
    }

    fn check(&self, open: &SumOpen, watermark: Watermark, largest_ms: Option<i64>) -> OpenCheck {
        self.check_cells(&open.cells, &open.closed_early, watermark, largest_ms)
    }

    fn open_windows(&self, open: &SumOpen, watermark: Watermark) -> Vec<WindowCount> {
        let windows = self.windows_of(&open.cells, watermark, &open.closed_early);
        let count = |slot: Slot| WindowCount {
            key: slot.0.to_string(),
            start_ms: self.window.start_ms(slot.1),
            count: self.sum(&open.cells, &slot).count,
        };
        windows.into_iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests;

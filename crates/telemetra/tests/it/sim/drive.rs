//! A job run instance by instance over one log and one store, with crashes and faults.
//!
//! [`Sim`] is the world; [`Sim::job`] makes an instance in it; [`Drive`] steps instances until the log is read
//! or the time is over; [`Sim::check`] holds what came out against tables, ledger and log.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use telemetra_core::{logic::Logic, watermark::Watermark};
use telemetra_engine::{
    committer::CommitMode,
    error::JobError,
    ids::AttemptId,
    limits::{BATCH_BYTES_MAX, Rules},
    sim::{
        audit::assert_balanced,
        dice::Dice,
        faults::is_crash,
        reference::{Reference, RowView},
        sink::MemSink,
        source::MemSource,
        store::Store,
    },
    step::{Job, Stepped},
};

use super::{
    input::{NOW, Part},
    product::{Product, inputs, window},
};

/// An instance of a job.
pub(super) type SimJob<L> = Job<L, MemSource, MemSink<L>>;

/// Log and store, and how jobs are set up in them.
pub(super) struct Sim<L: Logic> {
    pub(super) product: Product<L>,
    pub(super) source: MemSource,
    pub(super) sink: MemSink<L>,
    pub(super) rules: Rules,
    pub(super) mode: CommitMode,
    /// Cuts splits at random places.
    pub(super) pieces: Option<u64>,
    tries: Arc<AtomicU64>,
}

/// The settings that users get, for windows of a minute every ten seconds.
pub(super) fn rules() -> Rules {
    Rules {
        window: window(),
        delay_ms: 10_000,
        future_skew_ms: 60_000,
        idle_timeout_ms: 30_000,
        records_per_trigger: None,
        batch_bytes_max: BATCH_BYTES_MAX,
        provisional_rows_max: 5_000,
        replay_records_max: 10_000_000,
        read_on: false,
        replay_now_ms: NOW,
        workers: 2,
        meaning: "meaning 0".to_owned(),
        accept_changed_meaning: false,
        keep_late_files: false,
        skip_gaps: false,
    }
}

impl<L: Logic> Sim<L> {
    /// A world in which `parts` arrive.
    pub(super) fn new(product: &Product<L>, parts: &[Part]) -> Self {
        let logs = parts.iter().map(|part| part.log(product)).collect();
        Self::over(product, MemSource::new(inputs(), logs))
    }

    /// A world over a source made by hand.
    pub(super) fn over(product: &Product<L>, source: MemSource) -> Self {
        crate::support::choose_mutant();
        Self {
            product: product.clone(),
            source,
            sink: MemSink::new(window(), product.lens),
            rules: rules(),
            mode: CommitMode::Inline,
            pieces: None,
            tries: Arc::default(),
        }
    }

    /// Starts an instance.
    pub(super) fn job(&self, now_ms: i64) -> Result<SimJob<L>, JobError> {
        let source = self.source.instance();
        let source = match self.pieces {
            Some(seed) => source.with_random_pieces(seed),
            None => source,
        };
        let tries = Arc::clone(&self.tries);
        let attempts = Box::new(move || AttemptId(u128::from(tries.fetch_add(1, Ordering::Relaxed))));
        let rules = Rules { replay_now_ms: now_ms, ..self.rules.clone() };
        let logic = Arc::clone(&self.product.logic);
        Job::start(logic, rules, source, self.sink.instance(), self.mode, now_ms, attempts)
    }

    /// Runs until `until_s` after the beginning, live, without a fault.
    pub(super) fn run_until(&self, until_s: i64) -> Outcome {
        Drive { until_s: Some(until_s), ..Drive::default() }.run(self).expect("nothing stops it")
    }

    /// Holds the store against its own tables and against the log.
    pub(super) fn check(&self) {
        self.sink.settled(|store| {
            assert_balanced(store);
            self.check_rows(store);
        });
    }

    fn check_rows(&self, store: &Store) {
        let text = |view: &RowView<'_>| (self.product.text)(&self.source, view);
        let reference = Reference {
            source: &self.source,
            future_skew_ms: self.rules.future_skew_ms,
            known: &self.product.known,
            text: Some(&text),
            earlier_rows: self.product.earlier_rows,
        };
        reference.assert_same(store);
    }

    /// Records of partitions that have arrived and were not read.
    pub(super) fn unread(&self, now_ms: i64) -> u64 {
        self.sink.settled(|store| {
            let next = |id| store.positions.get(&id).map_or(0, |position| position.next);
            self.source.logs().map(|log| log.end(now_ms).saturating_sub(next(log.id()))).sum()
        })
    }

    /// All rows as text.
    pub(super) fn text(&self) -> String {
        self.sink.settled(Store::text)
    }

    /// What is asked of the settled tables.
    pub(super) fn store<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        self.sink.settled(look)
    }
}

/// How instances are driven.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    pub(super) seed: u64,
    pub(super) from_ms: i64,
    /// Ends then, seconds after the beginning; without it, when the log is read.
    pub(super) until_s: Option<i64>,
    /// Crashes between two steps, of a thousand.
    pub(super) crashes: u64,
    /// After a crash in one of so many the meaning is another, and accepted: windows are closed early.
    pub(super) closes_early: u64,
    /// Caps on a batch, one of them for each instance.
    pub(super) caps: Vec<Option<u64>>,
    /// Records that a step gets through in a second of the virtual clock.
    pub(super) records_per_s: u64,
    /// Waits for each commit before the next batch is planned.
    pub(super) settles: bool,
}

impl Default for Drive {
    fn default() -> Self {
        Self {
            seed: 0,
            from_ms: NOW,
            until_s: None,
            crashes: 0,
            closes_early: 0,
            caps: Vec::new(),
            records_per_s: 200_000,
            settles: false,
        }
    }
}

/// What came out of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) steps: u64,
    pub(super) batches: u64,
    pub(super) idle_advances: u64,
    pub(super) crashes: u64,
    pub(super) closed_early: u64,
    /// Batches known not applied.
    pub(super) dropped: u64,
    pub(super) open_panes_max: usize,
    /// Longest stretch of event time over open rows, seconds.
    pub(super) open_spread_s: i64,
    pub(super) replay_max: u64,
    /// Longest time that the watermark stood while windows with messages were open, seconds.
    pub(super) frozen_s: i64,
    /// Longest time from a window's end to the batch that made it final, seconds.
    pub(super) finality_s: i64,
    pub(super) late: usize,
    pub(super) dead: usize,
    pub(super) window_misses: i64,
    pub(super) final_rows: usize,
    pub(super) open_rows: usize,
    pub(super) unread: u64,
    pub(super) end_ms: i64,
}

struct Run<'a, L: Logic> {
    drive: &'a Drive,
    sim: &'a Sim<L>,
    dice: Dice,
    now_ms: i64,
    rules: Rules,
    out: Outcome,
    moved: (Watermark, i64),
    /// Steps without progress in a row.
    stalled: u32,
}

impl Drive {
    /// Drives instances in `sim` to the end.
    ///
    /// # Errors
    /// What halted the job; crashes and retries are gone through.
    pub(super) fn run<L: Logic>(&self, sim: &Sim<L>) -> Result<Outcome, JobError> {
        let mut run = Run {
            drive: self,
            sim,
            dice: Dice::new(self.seed),
            now_ms: self.from_ms,
            rules: sim.rules.clone(),
            out: Outcome::default(),
            moved: (Watermark::NONE, self.from_ms),
            stalled: 0,
        };
        run.all()?;
        Ok(run.finish())
    }
}

impl<L: Logic> Run<'_, L> {
    fn all(&mut self) -> Result<(), JobError> {
        let mut job = self.start()?;
        while self.out.steps < 1_000_000 {
            self.out.steps += 1;
            let stepped = match self.step(&mut job) {
                Ok(stepped) => stepped,
                Err(error) if is_crash(&error) => {
                    job = self.restart(job)?;
                    continue;
                }
                Err(JobError::Retry(_)) => {
                    self.now_ms += 1_000;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.look();
            let is_over = self.drive.until_s.is_some_and(|until_s| self.now_ms >= NOW + until_s * 1_000);
            if is_over || !self.pass_time(stepped) {
                self.settle(job)?;
                return Ok(());
            }
            if self.dice.below(1_000) < self.drive.crashes {
                job = self.restart(job)?;
            }
        }
        panic!("the run does not end: {:?}", self.out);
    }

    fn step(&mut self, job: &mut SimJob<L>) -> Result<Stepped, JobError> {
        let stepped = job.step(self.now_ms)?;
        if self.drive.settles && !job.settle()? {
            return Ok(Stepped::Dropped);
        }
        Ok(stepped)
    }

    /// Moves the clock on; `false` at the end of the log.
    fn pass_time(&mut self, stepped: Stepped) -> bool {
        match stepped {
            Stepped::Batch { records } if records > 0 => {
                self.stalled = 0;
                self.now_ms += 10 + (records * 1_000 / self.drive.records_per_s).cast_signed();
            }
            Stepped::Dropped => self.now_ms += 10,
            Stepped::Batch { .. } | Stepped::Nothing => {
                if self.drive.until_s.is_none() {
                    let unread = self.sim.unread(self.now_ms);
                    self.stalled += 1;
                    assert!(
                        unread == 0 || self.stalled < 300,
                        "nothing is read though {unread} records are there"
                    );
                    if unread == 0 {
                        return false;
                    }
                }
                self.now_ms += 1_000;
            }
        }
        true
    }

    fn start(&mut self) -> Result<SimJob<L>, JobError> {
        if !self.drive.caps.is_empty() {
            self.rules.records_per_trigger = self.dice.pick(&self.drive.caps);
        }
        let sim = Sim {
            product: self.sim.product.clone(),
            source: self.sim.source.instance(),
            sink: self.sim.sink.instance(),
            rules: self.rules.clone(),
            mode: self.sim.mode,
            pieces: self.sim.pieces.map(|_| self.dice.roll()),
            tries: Arc::clone(&self.sim.tries),
        };
        for _ in 0..1_000 {
            match sim.job(self.now_ms) {
                Err(JobError::Retry(_)) => {}
                Err(error) if is_crash(&error) => {}
                other => return other,
            }
            self.now_ms += 1_000;
        }
        panic!("no instance comes up");
    }

    fn restart(&mut self, job: SimJob<L>) -> Result<SimJob<L>, JobError> {
        self.out.crashes += 1;
        self.add(&job);
        drop(job);
        self.now_ms += 1_000;
        if self.dice.one_in(self.drive.closes_early) {
            self.out.closed_early += 1;
            self.rules.meaning = format!("meaning {}", self.out.closed_early);
            self.rules.accept_changed_meaning = true;
        }
        self.start()
    }

    /// Waits until the last commit is known, as an exit would.
    fn settle(&mut self, mut job: SimJob<L>) -> Result<(), JobError> {
        for _ in 0..1_000 {
            match job.settle() {
                Ok(_) => break,
                Err(JobError::Retry(_)) => {}
                Err(error) if is_crash(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.add(&job);
        Ok(())
    }

    fn add(&mut self, job: &SimJob<L>) {
        let report = job.report();
        self.out.batches += report.batches;
        self.out.dropped += report.dropped_batches;
        self.out.idle_advances += report.idle_advances;
        self.out.open_panes_max = self.out.open_panes_max.max(report.open_panes_max);
        self.out.replay_max = self.out.replay_max.max(report.replay_records_max);
    }

    /// Watches what is open between two steps.
    fn look(&mut self) {
        let (watermark, spread_ms, counts) = self.sim.sink.read(|store| {
            let starts = store.open_rows.iter().map(|(_, start_ms)| *start_ms);
            let (low, high) =
                starts.fold((i64::MAX, i64::MIN), |(low, high), at| (low.min(at), high.max(at)));
            (store.watermark, high.saturating_sub(low).max(0), store.open_count > 0)
        });
        self.out.open_spread_s = self.out.open_spread_s.max(spread_ms / 1_000);
        if watermark > self.moved.0 {
            self.moved = (watermark, self.now_ms);
        } else if counts {
            self.out.frozen_s = self.out.frozen_s.max((self.now_ms - self.moved.1) / 1_000);
        }
    }

    fn finish(mut self) -> Outcome {
        self.out.end_ms = self.now_ms;
        self.out.unread = self.sim.unread(self.now_ms);
        let out = &mut self.out;
        self.sim.store(|store| {
            let planned: BTreeMap<_, _> =
                store.batches.iter().map(|batch| (batch.batch_id, batch.planned_at_ms)).collect();
            let closed = store.rows.values().filter(|row| row.is_final && !row.incomplete);
            let waited = closed.filter_map(|row| Some((planned.get(&row.batch_id)? - row.end_ms) / 1_000));
            out.finality_s = waited.max().unwrap_or(0);
            out.late = store.late_events.len();
            out.dead = store.dead_letters.len();
            out.window_misses = store.totals.window_misses;
            out.open_rows = store.open_rows.len();
            out.final_rows = store.rows.len() - out.open_rows;
        });
        self.out
    }
}

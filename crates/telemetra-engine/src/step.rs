//! The job, one step at a time: plan, read, decode, fold, merge, emit, commit.
//!
//! The next batch is planned, read and folded while the last one commits; merging waits until that commit is
//! known. Known applied: its overlay becomes the state. Known not applied: its overlay is dropped, and with it
//! what was folded meanwhile; the next step plans anew from the committed state, at any size, and at a smaller
//! one if it took the store too long.

use std::{
    collections::BTreeMap,
    mem::replace,
    sync::Arc,
    time::{Duration, Instant},
};

use telemetra_core::{
    logic::{EmitRequest, Emitted, Logic, OpenCheck},
    mutant::{self, Mutant},
};

use crate::{
    advance::advance,
    batch::{Folds, changed_positions, lay_over, touched_segments},
    committer::{Committer, Settled},
    error::JobError,
    fold::{FoldRules, Folded},
    gaps::pass_gaps,
    ids::{AttemptId, PartitionId},
    late_files::check_files,
    limits::Rules,
    peek::see_new_files,
    plan::{Plan, plan},
    progress::{Partition, Progress},
    report::{Laps, Report},
    sink::{BatchKind, Commit, Gap, Sink, SinkError, Tally},
    size::BatchSize,
    source::Source,
    workers::fold_all,
};

/// A running job: the only writer of its tables.
pub struct Job<L: Logic, S, K> {
    pub(crate) logic: Arc<L>,
    pub(crate) rules: Rules,
    pub(crate) source: S,
    pub(crate) committer: Committer<L, K>,
    pub(crate) attempts: Attempts,
    /// The open panes as of the last batch known applied.
    pub(crate) open: L::Open,
    /// The progress as of that batch.
    pub(crate) known: Progress,
    /// Files of folders that are read to their end and listed no more.
    pub(crate) retired: BTreeMap<PartitionId, Partition>,
    /// The batch whose commit is in flight.
    pub(crate) pending: Option<Pending<L>>,
    pub(crate) size: BatchSize,
    pub(crate) report: Report,
}

/// Makes the ids of attempts; random outside tests.
pub type Attempts = Box<dyn FnMut() -> AttemptId + Send>;

pub(crate) struct Pending<L: Logic> {
    pub(crate) overlay: Option<L::Overlay>,
    pub(crate) progress: Progress,
    pub(crate) summary: Summary,
}

/// What a batch did, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub(crate) tally: Tally,
    pub(crate) window_misses: i64,
    pub(crate) final_rows: usize,
    pub(crate) provisional_rows: usize,
    pub(crate) open_windows: usize,
    pub(crate) is_idle_advance: bool,
    pub(crate) files: usize,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// A batch of so many records was given to the sink.
    Batch {
        /// Records read.
        records: u64,
    },
    /// There was nothing to do.
    Nothing,
    /// The commit before was not applied; its batch and this one are dropped and planned anew.
    Dropped,
}

struct Merged<L: Logic> {
    kind: BatchKind,
    after: Progress,
    folds: Folds,
    overlay: L::Overlay,
    gaps: Vec<Gap>,
    planned_at_ms: i64,
    provisional_rows_max: usize,
}

impl<L: Logic, S: Source, K: Sink<L> + 'static> Job<L, S, K> {
    /// One trigger. `now_ms` is the wall clock, the batch's only reading of it.
    ///
    /// # Errors
    /// What stopped it; after [`JobError::Retry`] the job is intact and `step` may be called again.
    pub fn step(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        let (mut laps, mut begun) = (Laps::default(), Instant::now());
        let mut lap = |lap: &mut Duration| *lap = replace(&mut begun, Instant::now()).elapsed();
        let plan = match self.plan(now_ms) {
            Ok(plan) => plan,
            Err(error) => {
                // What the source says next may hang on where the commit in flight leaves it.
                self.settle()?;
                return Err(error);
            }
        };
        lap(&mut laps.plan);
        let folded = self.read_decode_fold(&plan)?;
        lap(&mut laps.read);
        if !self.settle()? {
            return Ok(Stepped::Dropped);
        }
        lap(&mut laps.wait);
        let Some(merged) = self.merge(&plan, folded)? else {
            self.committer.sink().noticed()?;
            return Ok(Stepped::Nothing);
        };
        let records = merged.folds.tally.records;
        let (merged, emitted) = self.emit(merged)?;
        self.commit(merged, emitted)?;
        lap(&mut laps.merge);
        self.report.laps = laps;
        Ok(Stepped::Batch { records })
    }

    /// Plans over the newest progress, that of the batch in flight if there is one.
    fn plan(&mut self, now_ms: i64) -> Result<Plan, JobError> {
        let views = self.source.poll(now_ms)?;
        let newest = self.pending.as_mut().map_or(&mut self.known, |pending| &mut pending.progress);
        for view in &views {
            // A file that was read to its end and has grown goes on where it stood.
            if let Some(retired) = self.retired.get(&view.id) {
                newest.partitions.entry(view.id).or_insert_with(|| retired.clone());
            }
        }
        let plan = plan(newest, &self.rules, self.size.records_max(), &mut self.source, views, now_ms)?;
        self.report.see_plan(newest, &plan);
        Ok(plan)
    }

    fn read_decode_fold(&self, plan: &Plan) -> Result<Vec<Folded<L::Partial>>, JobError> {
        let rules = FoldRules { window: self.rules.window, future_skew_ms: self.rules.future_skew_ms };
        Ok(fold_all(&*self.logic, rules, &self.source, &plan.splits, self.rules.workers)?)
    }

    /// Waits for the commit in flight; its overlay becomes the state if it was applied. `false` if it was not.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn settle(&mut self) -> Result<bool, JobError> {
        let Some(outcome) = self.committer.settle() else { return Ok(true) };
        let outcome = outcome?;
        let pending = self.pending.take().expect("a commit in flight has its batch");
        let records = pending.summary.tally.records;
        let applied = match outcome {
            Settled::Applied(applied) => applied,
            Settled::NotApplied { cause, is_too_large } => {
                self.report.dropped_batches += 1;
                self.report.dropped_cause = if is_too_large { self.reduce(records, &cause) } else { cause };
                return Ok(false);
            }
        };
        self.report.applied.add(&applied);
        self.size.applied(records);
        self.report.records_cap = self.size.reduced();
        self.known = pending.progress;
        if let Some(overlay) = pending.overlay {
            self.logic.absorb(&mut self.open, overlay, self.known.watermark);
        }
        for (&id, partition) in &self.known.partitions {
            self.source.committed(id, partition.replay, partition.next);
        }
        let views = &self.report.views;
        let finished = self.known.partitions.extract_if(.., |id, partition| {
            partition.is_file_of_folder && partition.replay == partition.next && !views.contains_key(id)
        });
        self.retired.extend(finished);
        self.report.see_batch(&self.known, &pending.summary);
        Ok(true)
    }

    /// Plans smaller batches after one of `records` took the store too long; returns the cause in full.
    fn reduce(&mut self, records: u64, cause: &str) -> String {
        let is_smaller = self.size.too_large(records);
        self.report.records_cap = self.size.reduced();
        let next = if is_smaller {
            format!("; {} at most are next", self.size.records_max())
        } else {
            String::new()
        };
        format!("a batch of {records} records took the store too long: {cause}{next}")
    }

    /// Lays the batch over the state; `None` if it would change nothing.
    fn merge(&mut self, plan: &Plan, folded: Vec<Folded<L::Partial>>) -> Result<Option<Merged<L>>, JobError> {
        let before = &self.known;
        let mut after = before.clone();
        let (folds, partials) = lay_over(&mut after, folded, plan, &self.rules);
        check_files(&*self.logic, &self.rules, &self.source, before, &folds)?;
        see_new_files(&*self.logic, &self.source, &mut after, &folds, self.rules.future_skew_ms)?;
        let gaps = pass_gaps(&mut after, plan, &self.source, self.rules.skip_gaps)?;
        let holder = advance(before, &mut after, &folds.counted, plan, &self.rules);
        self.report.see_holder(holder, &after);
        let begins = after.partitions.iter().any(|(&id, partition)| partition.must_begin(id));
        if folds.ranges.is_empty() && gaps.is_empty() && after.watermark == before.watermark && !begins {
            // Heads and idle clocks go on; they are committed with the next batch.
            self.known = after;
            return Ok(None);
        }
        let overlay = self.merge_partials(partials)?;
        let kind = match (folds.ranges.is_empty(), gaps.is_empty()) {
            (false, _) => BatchKind::Read,
            (true, false) => BatchKind::Gap,
            (true, true) if begins => BatchKind::Begin,
            (true, true) => BatchKind::Idle,
        };
        let provisional_rows_max = self.rules.provisional_rows_max;
        let planned_at_ms = plan.planned_at_ms;
        Ok(Some(Merged { kind, after, folds, overlay, gaps, planned_at_ms, provisional_rows_max }))
    }

    pub(crate) fn merge_partials(&self, partials: Vec<L::Partial>) -> Result<L::Overlay, JobError> {
        self.logic.merge(&self.open, partials).map_err(|error| {
            JobError::Halted(format!(
                "{error}; nothing of this batch was written. Allow more memory by --open-bytes-max, or make \
                 windows shorter"
            ))
        })
    }

    /// Makes the rows, final and provisional.
    fn emit(&mut self, mut merged: Merged<L>) -> Result<(Merged<L>, Emitted<L::Rows>), JobError> {
        let request = EmitRequest {
            batch_id: self.known.batch_id + 1,
            from: self.known.watermark,
            to: merged.after.watermark,
            largest_ms: merged.after.largest_ms(),
            start_ms: merged.after.whole_from_ms(self.rules.future_skew_ms),
            provisional_rows_max: merged.provisional_rows_max,
        };
        let ask = self.logic.ask(&self.open, &merged.overlay, &request);
        let answer = match self.committer.sink().answer(&ask) {
            Err(SinkError::TooLarge(cause)) => {
                return Err(JobError::Retry(self.reduce(merged.folds.tally.records, &cause)));
            }
            answered => answered?,
        };
        let emitted = self.logic.emit(&self.open, &mut merged.overlay, answer, &request);
        Ok((merged, emitted))
    }

    /// Checks the law of counts and gives everything to the sink as one commit.
    fn commit(&mut self, merged: Merged<L>, emitted: Emitted<L::Rows>) -> Result<(), JobError> {
        let Merged { kind, mut after, folds, overlay, gaps, planned_at_ms, .. } = merged;
        let window_misses = folds.tally.window_misses as i64 + emitted.left_out;
        after.batch_id += 1;
        after.close_panes(self.rules.window);
        after.open = emitted.open;
        after.totals.in_windows += folds.tally.in_windows as i64;
        after.totals.window_misses += window_misses;
        after.totals.final_count += emitted.final_count;
        check_law(&after, &self.rules)?;
        let segments = touched_segments(&self.source, &after, &folds.ranges);
        let summary = Summary {
            files: segments.len(),
            tally: folds.tally,
            window_misses,
            final_rows: emitted.final_rows,
            provisional_rows: emitted.provisional_rows,
            open_windows: emitted.open_windows,
            is_idle_advance: kind == BatchKind::Idle,
        };
        self.committer.submit(Commit {
            batch_id: after.batch_id,
            attempt: (self.attempts)(),
            kind,
            planned_at_ms,
            watermark_before: self.known.watermark,
            watermark: after.watermark,
            open_end_ms: emitted.open.end_ms,
            open_digest: emitted.open.digest,
            open_count: emitted.open.count,
            final_count: emitted.final_count,
            window_misses,
            start_ms: after.start_ms,
            segments,
            ranges: folds.ranges,
            positions: changed_positions(&self.known, &after),
            dead_letters: folds.dead_letters,
            late_events: folds.late_events,
            gaps,
            rows: emitted.rows,
            close_early: false,
            new_meaning: None,
        });
        // Not once it is applied: by then the next plan may have added partitions that this commit does not hold.
        for partition in after.partitions.values_mut() {
            partition.is_stored = true;
        }
        let mut pending = Pending { overlay: Some(overlay), progress: after, summary };
        if mutant::is(Mutant::PanesBeforeCommit)
            && let Some(overlay) = pending.overlay.take()
        {
            self.logic.absorb(&mut self.open, overlay, pending.progress.watermark);
        }
        self.report.see_lag(&pending.progress);
        self.pending = Some(pending);
        Ok(())
    }

    /// Records beginnings and passes gaps, and reads nothing: one trigger.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn step_without_reading(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        let mut plan = self.plan(now_ms)?;
        plan.splits.clear();
        self.settled()?;
        let Some(merged) = self.merge(&plan, Vec::new())? else { return Ok(Stepped::Nothing) };
        let (merged, emitted) = self.emit(merged)?;
        self.commit(merged, emitted)?;
        self.settled()?;
        Ok(Stepped::Batch { records: 0 })
    }

    /// Closes every open window: the input is taken as complete.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn drain(&mut self, now_ms: i64) -> Result<(), JobError> {
        let window = self.rules.window;
        let last_ms = self.settled()?.last_window_end_ms(window);
        let Some(last_ms) = last_ms else { return Ok(()) };
        let mut after = self.known.clone();
        after.watermark = after.watermark.max(telemetra_core::watermark::Watermark::at(last_ms));
        self.commit_without_records(BatchKind::Drain, after, now_ms)
    }

    /// Writes the provisional rows that are still unwritten: the last batch before an exit.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn flush(&mut self, now_ms: i64) -> Result<(), JobError> {
        let after = self.settled()?.clone();
        self.commit_without_records(BatchKind::Flush, after, now_ms)
    }

    fn settled(&mut self) -> Result<&Progress, JobError> {
        if self.settle()? {
            return Ok(&self.known);
        }
        Err(JobError::Retry(self.report.dropped_cause.clone()))
    }

    fn commit_without_records(
        &mut self,
        kind: BatchKind,
        after: Progress,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let overlay = self.merge_partials(Vec::new())?;
        let merged = Merged {
            kind,
            after,
            folds: Folds::default(),
            overlay,
            gaps: Vec::new(),
            planned_at_ms: now_ms,
            provisional_rows_max: usize::MAX,
        };
        let (merged, emitted) = self.emit(merged)?;
        if kind == BatchKind::Flush && emitted.provisional_rows == 0 {
            return Ok(());
        }
        self.commit(merged, emitted)?;
        self.settled().map(|_| ())
    }

    /// Numbers for people.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The source, for what only it knows.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The source, to tell it that no more input is wanted.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The sink; waits for the commit in flight first.
    ///
    /// # Errors
    /// As [`Job::settle`].
    pub fn sink(&mut self) -> Result<&mut K, JobError> {
        self.settle()?;
        Ok(self.committer.sink())
    }

    /// The open panes' check sums as committed.
    pub fn open_check(&self) -> OpenCheck {
        self.known.open
    }
}

/// The law of counts: what final and open windows hold is what was counted, but for what they missed.
fn check_law(after: &Progress, rules: &Rules) -> Result<(), JobError> {
    let totals = &after.totals;
    let expected = totals.in_windows * rules.window.panes_per_window() - totals.window_misses;
    let found = totals.final_count + after.open.count;
    if found == expected {
        return Ok(());
    }
    Err(JobError::Halted(format!(
        "the law of counts does not hold for batch {}: final windows hold {} and open ones {}, but {} events × {} \
         windows − {} missed = {expected}; nothing of this batch was written. This is a fault of ours: please \
         report it with the output of `telemetra audit`",
        after.batch_id,
        totals.final_count,
        after.open.count,
        totals.in_windows,
        rules.window.panes_per_window(),
        totals.window_misses,
    )))
}

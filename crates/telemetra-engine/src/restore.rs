//! Starts an instance: take over, replay what the open panes are made of, check that the same came out.
//!
//! Replay reads `replay..next` of every partition, folds into the panes still open at the committed watermark
//! and writes nothing. It asks no rule, cap or clock again: every refusal is a `dead_letters` row. What comes
//! out must have the committed digest and count, else the job halts and names the windows that differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use telemetra_core::{
    logic::{Logic, OpenCheck, WindowCount},
    watermark::Watermark,
};

use crate::{
    committer::{CommitMode, Committer, Settled},
    error::JobError,
    fold::FoldRules,
    gaps::replay_gaps,
    ids::{PartitionId, shown_partition},
    limits::{BATCH_RECORDS_MAX, Rules},
    progress::{Partition, Progress},
    report::Report,
    sink::{BatchKind, Commit, Gap, Recovered, Sink},
    size::BatchSize,
    source::{Input, PartitionView, Resume, Segment, Source, SourceError},
    split::{Mode, Recent, Split},
    step::{Attempts, Job},
    workers::fold_all,
};

impl<L: Logic, S: Source, K: Sink<L> + 'static> Job<L, S, K> {
    /// Takes the job over and brings it to where the last commit left it. `now_ms` is the wall clock.
    ///
    /// # Errors
    /// [`JobError::Busy`] while another instance holds it; [`JobError::Halted`] if the meaning changed, or if
    /// the replay does not come out as committed.
    pub fn start(
        logic: Arc<L>,
        rules: Rules,
        source: S,
        mut sink: K,
        mode: CommitMode,
        now_ms: i64,
        attempts: Attempts,
    ) -> Result<Self, JobError> {
        let recovered = sink.take_over(source.inputs(), &rules.meaning)?;
        let known = progress_of(&recovered, &rules);
        let open = logic.open(recovered.closed_early.clone());
        let committer = Committer::new(sink, mode);
        let report = Report::default();
        let size = BatchSize::new(&rules);
        let mut job = Self {
            logic,
            rules,
            source,
            committer,
            attempts,
            open,
            known,
            retired: BTreeMap::new(),
            pending: None,
            size,
            report,
        };
        match job.catch_up(&recovered, now_ms) {
            Ok(()) => Ok(job),
            Err(JobError::Halted(cause)) => {
                // The cause goes to whoever started us in any case; the store only remembers it for others.
                let _ = job.committer.sink().set_halted(Some(&cause));
                Err(JobError::Halted(cause))
            }
            Err(error) => Err(error),
        }
    }

    /// Brings a job that was just taken over to where its last commit left it.
    fn catch_up(&mut self, recovered: &Recovered, now_ms: i64) -> Result<(), JobError> {
        self.source.resume(&resumes(recovered))?;
        let views = self.source.poll(now_ms)?;
        self.adopt_views(&views);
        let gaps = replay_gaps(&self.known, &views);
        let has_changed = recovered.meaning.as_deref().is_some_and(|meaning| meaning != self.rules.meaning);
        self.report.has_new_meaning = has_changed;
        if has_changed && has_open(recovered) && !self.rules.accept_changed_meaning {
            return Err(JobError::Halted(changed_meaning_message(recovered)));
        }
        if has_changed || !gaps.is_empty() {
            self.close_early(recovered, gaps, has_changed, now_ms)?;
        } else {
            match self.replay(recovered)? {
                None => {}
                Some(_) if self.rules.accept_changed_meaning => {
                    self.close_early(recovered, gaps, has_changed, now_ms)?;
                }
                Some(differs) => return Err(JobError::Halted(differs)),
            }
        }
        self.report.see_state(&self.known);
        Ok(())
    }

    /// Takes over what the source says of the partitions, and lays aside the files of folders that are read to
    /// their end and listed no more.
    fn adopt_views(&mut self, views: &[PartitionView]) {
        let inputs = self.source.inputs();
        let listed: BTreeSet<PartitionId> = views.iter().map(|view| view.id).collect();
        let retired = self.known.partitions.extract_if(.., |id, partition| {
            let is_folder = inputs.get(usize::from(id.input)).is_some_and(|input| input.topic.is_none());
            is_folder && id.partition != 0 && partition.replay == partition.next && !listed.contains(id)
        });
        self.retired = retired.collect();
        for view in views {
            if let Some(partition) = self.known.partitions.get_mut(&view.id) {
                partition.is_folder = view.is_folder;
                partition.is_file_of_folder = view.is_file_of_folder;
            }
        }
    }

    /// Reads the replay ranges in rounds of bounded size. Returns what differs from what was committed, if anything.
    fn replay(&mut self, recovered: &Recovered) -> Result<Option<String>, JobError> {
        let rules = FoldRules { window: self.rules.window, future_skew_ms: self.rules.future_skew_ms };
        let ids: Vec<PartitionId> = self.known.partitions.keys().copied().collect();
        for id in ids {
            let (mut from, next) = {
                let partition = &self.known.partitions[&id];
                (partition.replay, partition.next)
            };
            while from < next {
                let splits = self.replay_splits(id, from, next)?;
                let to = splits.last().map_or(from, |split| split.to);
                if to == from {
                    return Err(JobError::Halted(format!(
                        "partition {id}: offsets {from}..{next} were read before and cannot be read again"
                    )));
                }
                let folded = match fold_all(&*self.logic, rules, &self.source, &splits, self.rules.workers) {
                    Err(SourceError::Differs(cause)) => return Ok(Some(cause)),
                    other => other?,
                };
                let mut partials = Vec::with_capacity(folded.len());
                for split in folded {
                    self.report.replayed += split.tally.records;
                    let partition = self.known.partitions.get_mut(&id).expect("it was listed");
                    partition.recent.extend(&split.recent);
                    for (pane, offset) in split.panes {
                        self.known.touch(pane, id, offset);
                    }
                    partials.push(split.partial);
                }
                let overlay = self.merge_partials(partials)?;
                self.logic.absorb(&mut self.open, overlay, self.known.watermark);
                from = to;
            }
        }
        Ok(self.check_replay(recovered))
    }

    fn replay_splits(&mut self, id: PartitionId, from: u64, next: u64) -> Result<Vec<Split>, JobError> {
        let records = (next - from).min(BATCH_RECORDS_MAX);
        let ranges = self.source.cut(id, from, records, self.rules.batch_bytes_max, self.rules.workers)?;
        let mut splits = Vec::new();
        for range in ranges {
            let range = range.start..range.end.min(next);
            if range.is_empty() {
                continue;
            }
            splits.push(Split {
                partition: id,
                from: range.start,
                to: range.end,
                planned_at_ms: self.rules.replay_now_ms,
                watermark: self.known.watermark,
                bytes_max: u64::MAX,
                horizon_ms: None,
                clock: self.known.partitions[&id].clock,
                recent: Recent::default(),
                mode: Mode::Replay(self.committer.sink().dead_offsets(id, range)?),
            });
        }
        Ok(splits)
    }

    fn check_replay(&mut self, recovered: &Recovered) -> Option<String> {
        let check = self.logic.check(&self.open, self.known.watermark, self.known.largest_ms());
        self.known.open = check;
        if (check.digest, check.count) == (recovered.open_digest, recovered.open_count) {
            return None;
        }
        let replayed = self.logic.open_windows(&self.open, self.known.watermark);
        Some(differs_message(recovered, &check, &replayed))
    }

    /// Closes every open window as it stands: nothing can be replayed, or it would not mean the same.
    fn close_early(
        &mut self,
        recovered: &Recovered,
        gaps: Vec<Gap>,
        has_changed: bool,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let before = self.known.clone();
        let after = &mut self.known;
        if let Some(end_ms) = recovered.open_end_ms {
            after.watermark = after.watermark.max(Watermark::at(end_ms));
        }
        let written: i64 = recovered.open_rows.iter().map(|row| row.count).sum();
        let left_out = recovered.open_count - written;
        after.batch_id += 1;
        after.touched.clear();
        after.open = OpenCheck::default();
        after.totals.final_count += written;
        after.totals.window_misses += left_out;
        for partition in after.partitions.values_mut() {
            partition.replay = partition.next;
        }
        let nothing = self.merge_partials(Vec::new())?;
        let request = telemetra_core::logic::EmitRequest {
            batch_id: self.known.batch_id,
            from: self.known.watermark,
            to: self.known.watermark,
            largest_ms: None,
            start_ms: None,
            provisional_rows_max: 0,
        };
        let mut overlay = nothing;
        let rows = self.logic.emit(&self.open, &mut overlay, L::Answer::default(), &request).rows;
        let closed_early =
            closed_early_message(self.source.inputs(), recovered, &gaps, has_changed, self.known.watermark);
        self.committer.submit(Commit {
            batch_id: self.known.batch_id,
            attempt: (self.attempts)(),
            kind: BatchKind::ClosedEarly,
            planned_at_ms: now_ms,
            watermark_before: before.watermark,
            watermark: self.known.watermark,
            open_end_ms: None,
            open_digest: 0,
            open_count: 0,
            final_count: written,
            window_misses: left_out,
            start_ms: self.known.start_ms,
            ranges: Vec::new(),
            positions: crate::batch::changed_positions(&before, &self.known),
            segments: Vec::new(),
            dead_letters: Vec::new(),
            late_events: Vec::new(),
            gaps,
            rows,
            close_early: true,
            new_meaning: has_changed.then(|| self.rules.meaning.clone()),
        });
        if let Some(settled) = self.committer.settle()
            && let Settled::NotApplied { cause, .. } = settled?
        {
            return Err(JobError::Retry(cause));
        }
        self.report.closed_early = closed_early;
        self.report.final_rows += recovered.open_rows.len() as u64;
        self.report.window_misses += left_out;
        let window = self.rules.window;
        let ahead = |row: &&WindowCount| !self.known.watermark.has_passed(row.start_ms + window.length_ms());
        let closed =
            recovered.open_rows.iter().chain(&recovered.closed_early).filter(ahead).cloned().collect();
        self.open = self.logic.open(closed);
        Ok(())
    }
}

fn progress_of(recovered: &Recovered, rules: &Rules) -> Progress {
    let mut progress = Progress {
        batch_id: recovered.last_batch,
        watermark: recovered.watermark,
        partitions: BTreeMap::new(),
        touched: BTreeMap::new(),
        spans: BTreeMap::new(),
        idleness: None,
        is_all_idle: false,
        start_ms: recovered.start_ms,
        horizon_ms: rules.window.length_ms() + rules.delay_ms,
        turn: 0,
        totals: recovered.totals,
        open: OpenCheck::default(),
    };
    for position in &recovered.positions {
        let partition = Partition {
            next: position.next,
            replay: position.replay,
            clock: position.clock,
            head_since_ms: position.head_since_ms,
            mark: position.mark,
            begun_ms: position.begun_ms,
            is_stored: true,
            ..Partition::default()
        };
        progress.partitions.insert(position.id, partition);
    }
    for (id, segment) in &recovered.segments {
        if let Some(span_ms) = segment.span_ms {
            progress.see_span(*id, segment.seq, span_ms);
        }
    }
    progress
}

fn resumes(recovered: &Recovered) -> Vec<Resume> {
    let mut segments: BTreeMap<PartitionId, Vec<Segment>> = BTreeMap::new();
    for (id, segment) in &recovered.segments {
        segments.entry(*id).or_default().push(segment.clone());
    }
    segments.values_mut().for_each(|own| own.sort_by_key(|segment| segment.seq));
    let mut resume = |position: &crate::sink::Position| Resume {
        id: position.id,
        replay: position.replay,
        next: position.next,
        mark: position.mark,
        segments: segments.remove(&position.id).unwrap_or_default(),
    };
    recovered.positions.iter().map(&mut resume).collect()
}

/// Why windows were closed early, by partition where input is missing, and how many; empty when none was.
fn closed_early_message(
    inputs: &[Input],
    recovered: &Recovered,
    gaps: &[Gap],
    has_changed: bool,
    watermark: Watermark,
) -> String {
    let rows = recovered.open_rows.len();
    if rows == 0 && gaps.is_empty() {
        return String::new();
    }
    let cause = if !gaps.is_empty() {
        let shown = |gap: &Gap| {
            let place = inputs.get(usize::from(gap.partition.input)).map_or("", |input| input.place.as_str());
            let (number, offsets) = (shown_partition(gap.partition.partition), &gap.offsets);
            format!("{place}, partition {number}, offsets {}..{}: {}", offsets.start, offsets.end, gap.cause)
        };
        let shown: Vec<String> = gaps.iter().take(10).map(shown).collect();
        format!("input of open windows cannot be read again ({})", shown.join("; "))
    } else if has_changed {
        "settings that change what the numbers mean differ, and that was accepted".to_owned()
    } else {
        "reading again did not give what was committed, and that was accepted".to_owned()
    };
    let late = watermark.ms().map_or(String::new(), |ms| {
        format!("; events stamped before {ms} ms, the end of the last of them, are late from now on")
    });
    format!("{cause}; {rows} rows were closed as they stood, final and incomplete{late}")
}

fn has_open(recovered: &Recovered) -> bool {
    !recovered.open_rows.is_empty()
        || recovered.open_count != 0
        || recovered.positions.iter().any(|position| position.replay < position.next)
}

fn changed_meaning_message(recovered: &Recovered) -> String {
    format!(
        "settings that change what the numbers mean differ from those of the running windows ({} rows are open); \
         start with the former settings, finish them first with --drain, or close them as they stand with \
         --accept-changed-meaning (they become final and incomplete)",
        recovered.open_rows.len()
    )
}

/// Names up to ten windows whose committed row and replayed count differ.
fn differs_message(recovered: &Recovered, check: &OpenCheck, replayed: &[WindowCount]) -> String {
    type RowAndReplayed = (Option<i64>, Option<i64>);
    let mut counts: BTreeMap<(&str, i64), RowAndReplayed> = BTreeMap::new();
    for row in &recovered.open_rows {
        counts.entry((&row.key, row.start_ms)).or_default().0 = Some(row.count);
    }
    for window in replayed {
        counts.entry((&window.key, window.start_ms)).or_default().1 = Some(window.count);
    }
    let show = |count: Option<i64>| count.map_or("none".to_owned(), |count| count.to_string());
    let differing: Vec<String> = counts
        .iter()
        .filter(|(_, (row, replayed))| row != replayed)
        .take(10)
        .map(|((key, start_ms), (row, replayed))| {
            format!("{key} at {start_ms} ms: row {}, replayed {}", show(*row), show(*replayed))
        })
        .collect();
    let windows = if differing.is_empty() {
        "the counts of all open windows agree, something else in them does not".to_owned()
    } else {
        differing.join("; ")
    };
    format!(
        "replaying the open windows did not give what was committed (count {}, committed {}; digest {:016x}, \
         committed {:016x}): the input below next_offset has changed, or the rows were. {windows}. Restore the \
         input, or close the open windows as they stand with --accept-changed-meaning",
        check.count, recovered.open_count, check.digest, recovered.open_digest
    )
}

//! What the loop shows of itself: the engine's report as snapshots, with rates and the process's memory.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use telemetra_engine::{error::JobError, report::Report};

use super::run_loop::{Ending, Work, now_ms};
use crate::{
    process::rss_bytes,
    snapshot::{Holder, Latest, PartitionStatus, Snapshot, State},
};

/// Turns the engine's report into snapshots and publishes them.
pub struct Meter {
    latest: Latest,
    job: String,
    records_at_start: Option<u64>,
    marks: Vec<(Instant, u64)>,
    batches: u64,
    committed_at_ms: Option<i64>,
    warnings: Box<dyn FnMut() -> Vec<String>>,
    said: HashSet<String>,
}

impl Meter {
    /// A meter that publishes to `latest`; `warnings` tells what is not read, and why.
    pub fn new(latest: Latest, job: String, warnings: Box<dyn FnMut() -> Vec<String>>) -> Self {
        Self {
            latest,
            job,
            records_at_start: None,
            marks: Vec::new(),
            batches: 0,
            committed_at_ms: None,
            warnings,
            said: HashSet::new(),
        }
    }

    /// Publishes how the job stands.
    pub fn publish(&mut self, work: &dyn Work, state: State) {
        let names = work.input_names();
        let warnings = self.warn();
        let snapshot = Snapshot { warnings, ..self.snapshot(work.report(), &names, state) };
        self.latest.publish(snapshot);
    }

    /// What is not read now; logged once by file and cause.
    fn warn(&mut self) -> Vec<String> {
        const SAID_MAX: usize = 10_000;
        let warnings = (self.warnings)();
        if self.said.len() > SAID_MAX {
            self.said.clear();
        }
        for warning in &warnings {
            if self.said.insert(warning.clone()) {
                tracing::warn!("not read: {warning}");
            }
        }
        warnings
    }

    /// Publishes a failure; the ending it means, or `None` if it will be tried again.
    pub(super) fn failed(&mut self, work: &dyn Work, error: JobError) -> Option<Ending> {
        let (state, ending) = match error {
            JobError::Retry(cause) | JobError::Busy(cause) => {
                tracing::warn!(cause, "the step failed and will be tried again");
                (State::Retrying(cause), None)
            }
            JobError::Fenced(cause) => (State::Halted(cause.clone()), Some(Ending::Fenced(cause))),
            JobError::Halted(cause) => (State::Halted(cause.clone()), Some(Ending::Halted(cause))),
        };
        self.publish(work, state);
        ending
    }

    fn snapshot(&mut self, report: &Report, inputs: &[&str], state: State) -> Snapshot {
        const RATE_OVER: Duration = Duration::from_secs(5);
        let now = Instant::now();
        self.marks.push((now, report.tally.records));
        let fresh = self.marks.iter().position(|(at, _)| now - *at <= RATE_OVER).unwrap_or(0);
        self.marks.drain(..fresh.saturating_sub(1));
        let (since, records) = self.marks[0];
        let seconds = (now - since).as_secs_f64();
        let rate = if seconds > 0.0 { (report.tally.records - records) as f64 / seconds } else { 0.0 };
        if report.batches != self.batches {
            self.batches = report.batches;
            self.committed_at_ms = Some(now_ms());
        }
        let total = *self.records_at_start.get_or_insert(report.tally.records + report.lag_records);
        let total = total.max(report.tally.records + report.lag_records);
        let name = |input: u8, partition: u32| {
            format!("{}/{partition}", inputs.get(usize::from(input)).copied().unwrap_or("input"))
        };
        Snapshot {
            job: self.job.clone(),
            state,
            batches: report.batch_id,
            events_per_second: rate,
            records: report.tally.records,
            counted: report.tally.counted,
            late: report.tally.late,
            dead_letters: report.tally.dead,
            window_misses: u64::try_from(report.window_misses).unwrap_or(0),
            lag_records: report.lag_records,
            progress: (total > 0).then(|| report.tally.records as f64 / total as f64),
            watermark_ms: report.watermark_ms,
            holder: report.holder.as_ref().map(|holder| Holder {
                name: name(holder.id.input, holder.id.partition),
                reason: holder.reason.to_owned(),
            }),
            open_windows: report.open_windows as u64,
            final_windows: report.final_rows,
            committed_at_ms: self.committed_at_ms,
            rss_bytes: rss_bytes(),
            partitions: report
                .partitions
                .iter()
                .map(|(id, partition)| PartitionStatus {
                    name: name(id.input, id.partition),
                    next: partition.next,
                    end: partition.end,
                    position_ms: partition.position_ms,
                    at_head: partition.is_at_head,
                })
                .collect(),
            warnings: Vec::new(),
            closed_early: report.closed_early.clone(),
        }
    }
}

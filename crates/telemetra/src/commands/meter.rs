//! What the loop shows of itself: the engine's report as snapshots, with rates and the process's memory.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use telemetra_engine::{ids::PartitionId, report::Report};

use super::{
    run::Pipeline,
    run_loop::{Work, now_ms},
};
use crate::{
    process::rss_bytes,
    snapshot::{
        ChatNumbers, CommerceNumbers, Files, Holder, Latest, Numbers, PartitionStatus, Snapshot, State,
        Unmoved,
    },
};

/// What the input tells beside its records.
#[derive(Clone, Debug, Default)]
pub struct InputNow {
    /// What is not read, and why.
    pub warnings: Vec<String>,
    /// What is read and stored and could not be moved away.
    pub unmoved: Unmoved,
    /// What should be known of what is read.
    pub notices: Vec<String>,
    /// What became of the files.
    pub files: Files,
}

/// Turns the engine's report into snapshots and publishes them.
pub struct Meter {
    latest: Latest,
    job: String,
    pipeline: Pipeline,
    taken_over_at_ms: i64,
    records_at_start: Option<u64>,
    marks: Vec<(Instant, u64)>,
    batches: u64,
    committed_at_ms: Option<i64>,
    input: Box<dyn FnMut() -> InputNow>,
    said: HashSet<String>,
}

impl Meter {
    /// A meter of a job that was just taken over, which publishes to `latest`.
    pub fn new(latest: Latest, job: String, pipeline: Pipeline, input: Box<dyn FnMut() -> InputNow>) -> Self {
        Self {
            latest,
            job,
            pipeline,
            taken_over_at_ms: now_ms(),
            records_at_start: None,
            marks: Vec::new(),
            batches: 0,
            committed_at_ms: None,
            input,
            said: HashSet::new(),
        }
    }

    /// Publishes how the job stands.
    pub fn publish(&mut self, work: &dyn Work, state: State) {
        self.show(work, state, None);
    }

    /// Publishes that something is away since `since_ms`, milliseconds of the wall clock.
    pub fn publish_away(&mut self, work: &dyn Work, cause: String, since_ms: i64) {
        self.show(work, State::Retrying(cause), Some(since_ms));
    }

    fn show(&mut self, work: &dyn Work, state: State, retrying_since_ms: Option<i64>) {
        let names = work.input_names();
        let InputNow { warnings, unmoved, notices, files } = (self.input)();
        self.warn("not read: ", &warnings);
        self.warn("read and stored, but not moved away; mend this and it will be: ", &unmoved.causes);
        self.warn("", &notices);
        let snapshot = self.snapshot(work.report(), &names, state, files);
        self.latest.publish(Snapshot { warnings, unmoved, notices, retrying_since_ms, ..snapshot });
    }

    /// Logs each text once, such as what is not read now by file and cause.
    fn warn(&mut self, what: &str, warnings: &[String]) {
        const SAID_MAX: usize = 10_000;
        if self.said.len() > SAID_MAX {
            self.said.clear();
        }
        for warning in warnings {
            if self.said.insert(warning.clone()) {
                tracing::warn!("{what}{warning}");
            }
        }
    }

    fn snapshot(&mut self, report: &Report, inputs: &[&str], state: State, files: Files) -> Snapshot {
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
        Snapshot {
            job: self.job.clone(),
            state,
            retrying_since_ms: None,
            taken_over_at_ms: Some(self.taken_over_at_ms),
            batches: report.batch_id,
            events_per_second: rate,
            records: report.tally.records,
            numbers: match self.pipeline {
                Pipeline::Chat => Numbers::Chat(chat_numbers(report, inputs)),
                Pipeline::Commerce => Numbers::Commerce(commerce_numbers(report, files)),
            },
            lag_records: report.lag_records,
            progress: (total > 0).then(|| report.tally.records as f64 / total as f64),
            committed_at_ms: self.committed_at_ms,
            rss_bytes: rss_bytes(),
            partitions: report
                .partitions
                .iter()
                .map(|(id, partition)| PartitionStatus {
                    name: name(inputs, *id),
                    next: partition.next,
                    end: partition.end,
                    position_ms: partition.position_ms,
                    at_head: partition.is_at_head,
                })
                .collect(),
            warnings: Vec::new(),
            unmoved: Unmoved::default(),
            notices: Vec::new(),
            closed_early: report.closed_early.clone(),
        }
    }
}

/// Input and partition: `chat/0`.
fn name(inputs: &[&str], id: PartitionId) -> String {
    format!("{}/{}", inputs.get(usize::from(id.input)).copied().unwrap_or("input"), id.partition)
}

fn chat_numbers(report: &Report, inputs: &[&str]) -> ChatNumbers {
    ChatNumbers {
        counted: report.tally.counted,
        late: report.tally.late,
        dead_letters: report.tally.dead,
        window_misses: u64::try_from(report.window_misses).unwrap_or(0),
        watermark_ms: report.watermark_ms,
        holder: report
            .holder
            .as_ref()
            .map(|holder| Holder { name: name(inputs, holder.id), reason: holder.reason.to_owned() }),
        open_windows: report.open_windows as u64,
        open_panes_max: report.open_panes_max as u64,
        replay_records_max: report.replay_records_max,
        final_windows: report.final_rows,
    }
}

fn commerce_numbers(report: &Report, files: Files) -> CommerceNumbers {
    CommerceNumbers {
        accepted: report.applied.accepted,
        duplicates: report.applied.duplicates,
        conflicts: report.applied.conflicts,
        // By the rules, and by the store.
        quarantined: report.tally.dead + report.applied.refused,
        files,
    }
}

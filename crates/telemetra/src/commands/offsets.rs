//! `offsets show|reset|skip-gap`: where a job stands in its topics, and the two ways on from what halts it there.
//!
//! Both ways on take the job over, write one batch that reads nothing, and leave: what was counted stays counted, and
//! the ledger says what was passed.

use telemetra_connectors::kafka::{Skip, StartAt};
use telemetra_engine::{
    error::JobError,
    ids::{Offset, PARTITIONS_PER_GENERATION, shown_partition},
    step::Stepped,
};

use super::{
    run::{Pipeline, Repair, RunOptions},
    run_loop::{Work, now_ms},
};
use crate::{
    exit::Exit,
    out::{self, plain, table, whole},
    settings::Settings,
    wiring,
};

/// Where a job stands in one partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OffsetRow {
    /// The topic.
    pub topic: String,
    /// Kafka's number of the partition.
    pub partition: u32,
    /// Which topic of this name: 0 is the first, 1 the one after it was made anew.
    pub generation: u32,
    /// First offset that a restart reads again; `None` where the job has read nothing.
    pub replay: Option<Offset>,
    /// Next offset to read.
    pub next: Option<Offset>,
    /// First offset that the brokers hold; `None` if they do not answer, or hold another topic of this name.
    pub earliest: Option<Offset>,
    /// First offset that cannot be read yet.
    pub end: Option<Offset>,
    /// Offsets behind it that wait for a transaction to end.
    pub waiting: u64,
}

impl OffsetRow {
    /// Offsets still to be read.
    fn unread(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.next.max(self.earliest)?))
    }

    /// What keeps the job from going on.
    fn fault(&self) -> Option<String> {
        let halt = self.halt();
        let waiting = || format!("{} offsets behind the end wait for a transaction", self.waiting);
        halt.or_else(|| (self.waiting > 0).then(waiting))
    }

    /// Why a run would halt, or close windows early.
    fn halt(&self) -> Option<String> {
        let (next, earliest, end) = (self.next?, self.earliest?, self.end?);
        if earliest > next {
            return Some(format!("gap: {next}..{earliest} is gone"));
        }
        if earliest > self.replay? {
            return Some(format!("{}..{earliest} cannot be read again", self.replay?));
        }
        (end < next).then(|| format!("ends at {end}, {next} was read"))
    }
}

/// `offsets show`.
///
/// # Errors
/// When the store cannot be read.
pub fn show(settings: &Settings, pipeline: Pipeline, json: bool) -> anyhow::Result<Exit> {
    let (rows, away) = wiring::offsets(settings, pipeline)?;
    if json {
        out::line(&serde_json::to_string_pretty(&rows)?);
    } else {
        let heading =
            ["topic", "partition", "replay", "next", "earliest", "end", "unread", ""].map(str::to_owned);
        let number = |offset: Option<u64>| offset.map_or_else(|| "-".into(), |offset| offset.to_string());
        let row = |row: &OffsetRow| {
            let partition = shown_partition(row.generation * PARTITIONS_PER_GENERATION + row.partition);
            let numbers = [row.replay, row.next, row.earliest, row.end, row.unread()].map(number);
            let is_gone = away.is_none() && row.next.is_some() && row.earliest.is_none();
            let fault = match is_gone {
                true => "no longer there: deleted, or made anew".to_owned(),
                false => row.fault().unwrap_or_default(),
            };
            [vec![plain(&row.topic).into_owned(), partition], numbers.to_vec(), vec![fault]].concat()
        };
        out::line(&table(&[vec![heading.to_vec()], rows.iter().map(row).collect()].concat()));
    }
    if let Some(cause) = away {
        out::note(&format!("the brokers were not asked: {}", whole(&cause)));
        return Ok(Exit::Error);
    }
    Ok(Exit::Done)
}

/// `offsets reset`: goes on with topics that were made anew, or that lost records.
///
/// # Errors
/// When store or brokers are away, or another instance runs.
pub fn reset(settings: &Settings, pipeline: Pipeline, to: StartAt) -> anyhow::Result<Exit> {
    repair(settings, pipeline, Repair::Reset(to))
}

/// `offsets skip-gap`: records offsets that the brokers no longer hold, or those of a batch that cannot be read, and goes
/// on behind them. What lies before such a batch is read first.
///
/// # Errors
/// As [`reset`].
pub fn skip_gap(settings: &Settings, pipeline: Pipeline, offsets: Option<Skip>) -> anyhow::Result<Exit> {
    repair(settings, pipeline, Repair::SkipGap(offsets))
}

fn repair(settings: &Settings, pipeline: Pipeline, repair: Repair) -> anyhow::Result<Exit> {
    // What is not there is not made by a command that mends.
    wiring::offsets(settings, pipeline)?;
    let options = RunOptions { pipeline, repair: Some(repair), ..RunOptions::default() };
    match repaired(settings, &options) {
        Ok(lines) if lines.is_empty() => {
            out::line("there is nothing to do: the job can go on where it stands");
            Ok(Exit::Done)
        }
        Ok(lines) => {
            lines.iter().for_each(|line| out::line(line));
            Ok(Exit::Done)
        }
        Err(JobError::Halted(cause)) => {
            out::note(&format!("halted: {}", whole(&cause)));
            Ok(Exit::Halted)
        }
        Err(JobError::Fenced(cause)) => {
            out::note(&format!("fenced: {}", whole(&cause)));
            Ok(Exit::Fenced)
        }
        Err(JobError::Retry(cause) | JobError::Busy(cause)) => {
            anyhow::bail!("it could not be done now, and can be tried again: {}", whole(&cause))
        }
    }
}

/// Reads until nothing can be read, or a batch has passed a gap.
fn read_on(work: &mut dyn Work) -> Result<(), JobError> {
    let is_over = |stepped| matches!(stepped, Stepped::Nothing | Stepped::Batch { records: 0 });
    while !is_over(work.step(now_ms())?) {}
    work.settle()?;
    Ok(())
}

/// What was passed or begun anew, a line each.
fn repaired(settings: &Settings, options: &RunOptions) -> Result<Vec<String>, JobError> {
    let mut started = wiring::start(settings, options)?;
    (started.input)().warnings.iter().for_each(|warning| out::note(warning));
    let names = started.work.input_names();
    let before = started.work.report().partitions.clone();
    let is_reading = matches!(options.repair, Some(Repair::SkipGap(Some(_))));
    if is_reading {
        read_on(&mut *started.work)?;
    } else {
        started.work.step_without_reading(now_ms())?;
    }
    let report = started.work.report();
    let mut lines = Vec::new();
    if !report.closed_early.is_empty() {
        lines.push(format!("closed early: {}", report.closed_early));
    }
    for (id, now) in &report.partitions {
        let name = names.get(usize::from(id.input)).copied().unwrap_or("input");
        let number = id.partition % PARTITIONS_PER_GENERATION;
        match before.get(id) {
            Some(before) if before.next < now.next && is_reading => {
                lines.push(format!(
                    "{name}, partition {number}: offsets {}..{} are read or left out",
                    before.next, now.next
                ));
            }
            Some(before) if before.next < now.next => {
                lines.push(format!(
                    "{name}, partition {number}: offsets {}..{} are passed",
                    before.next, now.next
                ));
            }
            Some(_) => {}
            None if id.partition >= PARTITIONS_PER_GENERATION => {
                lines.push(format!(
                    "{name}, partition {number}: goes on at offset {} of what is there now",
                    now.next
                ));
            }
            None => {}
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(replay: u64, next: u64, there: std::ops::Range<u64>) -> OffsetRow {
        OffsetRow {
            topic: "t".into(),
            partition: 0,
            generation: 0,
            replay: Some(replay),
            next: Some(next),
            earliest: Some(there.start),
            end: Some(there.end),
            waiting: 0,
        }
    }

    fn check(replay: u64, next: u64, there: std::ops::Range<u64>, unread: u64, fault: Option<&str>) {
        let row = row(replay, next, there);
        assert_eq!((row.unread(), row.fault().as_deref()), (Some(unread), fault));
    }

    #[test]
    fn what_keeps_a_job_from_going_on_is_named() {
        check(5, 10, 0..12, 2, None);
        check(5, 10, 5..10, 0, None);
        check(5, 10, 7..12, 2, Some("5..7 cannot be read again"));
        check(5, 10, 11..15, 4, Some("gap: 10..11 is gone"));
        check(5, 10, 0..7, 0, Some("ends at 7, 10 was read"));
    }

    #[test]
    fn an_open_transaction_is_told_of_and_hides_no_gap() {
        let fault = |row: OffsetRow| OffsetRow { waiting: 3, ..row }.fault();
        let waits = "3 offsets behind the end wait for a transaction";
        assert_eq!(fault(row(5, 10, 0..12)).as_deref(), Some(waits));
        assert_eq!(fault(row(5, 10, 11..15)).as_deref(), Some("gap: 10..11 is gone"));
        let unread = OffsetRow { replay: None, next: None, ..row(0, 0, 0..0) };
        assert_eq!(fault(unread).as_deref(), Some(waits));
    }
}

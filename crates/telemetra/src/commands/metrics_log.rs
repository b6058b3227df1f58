//! `streaming_metrics.log`: one JSON line for each batch known applied.
//!
//! Numbers come from the difference of two reports. It is bounded: at [`BYTES_MAX`] the file is renamed to `.1`, which
//! replaces the one before. A folder that cannot be written costs a warning, never a batch.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;
use telemetra_engine::report::{Laps, Report};

/// Name of the file in the folder of logs.
const NAME: &str = "streaming_metrics.log";
/// No line of ours is as long.
const LINE_BYTES_MAX: u64 = 4_096;
/// Size at which it is rotated.
const BYTES_MAX: u64 = 10_000_000;

/// The log of one run.
#[derive(Debug)]
pub(super) struct MetricsLog {
    path: PathBuf,
    bytes_max: u64,
    seen: Seen,
    /// Of the batch that is being committed: how long its steps took, and when they ended.
    in_flight: Option<(Laps, Instant)>,
    file: Option<(File, u64)>,
    is_failing: bool,
}

/// One line. Milliseconds are wall time.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line<'a> {
    at: &'a str,
    batch: u64,
    files: u64,
    records: u64,
    accepted: u64,
    duplicate: u64,
    conflict: u64,
    quarantined: u64,
    /// Looking for records, and planning.
    plan_ms: u64,
    /// Reading and checking.
    read_ms: u64,
    /// Waiting for the batch before.
    wait_ms: u64,
    /// Merging, and handing over.
    merge_ms: u64,
    /// From then until it was known to be applied; the next batch is read meanwhile.
    commit_ms: u64,
}

/// Sums of a report that lines are differences of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    batches: u64,
    files: u64,
    records: u64,
    accepted: u64,
    duplicates: u64,
    conflicts: u64,
    quarantined: u64,
}

impl Seen {
    fn of(report: &Report) -> Self {
        let (tally, applied) = (&report.tally, &report.applied);
        Self {
            batches: report.batches,
            files: report.files,
            records: tally.records,
            accepted: applied.accepted,
            duplicates: applied.duplicates,
            conflicts: applied.conflicts,
            quarantined: tally.dead + applied.refused,
        }
    }
}

impl MetricsLog {
    /// A log in `folder`, made with the first line.
    pub(super) fn new(folder: &Path) -> Self {
        let (seen, path) = (Seen::default(), folder.join(NAME));
        Self { path, bytes_max: BYTES_MAX, seen, in_flight: None, file: None, is_failing: false }
    }

    /// Writes the line of a batch that became known as applied, if one did, at `at` (an instant as text). `handed_over`
    /// says that another was given to the store just now. Returns whether a batch was applied.
    pub(super) fn see(&mut self, report: &Report, handed_over: bool, at: &str) -> bool {
        let (seen, now) = (Seen::of(report), Instant::now());
        let is_applied = seen.batches > self.seen.batches;
        if is_applied {
            let before = std::mem::replace(&mut self.seen, seen);
            let (laps, handed_at) = self.in_flight.take().unwrap_or((Laps::default(), now));
            let line = Line {
                at,
                batch: report.batch_id,
                files: seen.files - before.files,
                records: seen.records - before.records,
                accepted: seen.accepted - before.accepted,
                duplicate: seen.duplicates - before.duplicates,
                conflict: seen.conflicts - before.conflicts,
                quarantined: seen.quarantined - before.quarantined,
                plan_ms: ms(laps.plan),
                read_ms: ms(laps.read),
                wait_ms: ms(laps.wait),
                merge_ms: ms(laps.merge),
                commit_ms: ms(now.duration_since(handed_at)),
            };
            self.write(&line);
        }
        if handed_over {
            self.in_flight = Some((report.laps, now));
        }
        is_applied
    }

    fn write(&mut self, line: &Line<'_>) {
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.append(&line)
        });
        match written {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                self.file = None;
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "{} cannot be written; the run goes on without it", self.path.display());
                }
            }
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let added = line.len() as u64;
        if self.file.as_ref().is_some_and(|(_, bytes)| bytes + added > self.bytes_max) {
            self.file = None;
        }
        let (file, bytes) = match &mut self.file {
            Some(open) => open,
            None => self.file.insert(open(&self.path, self.bytes_max.saturating_sub(added))?),
        };
        file.write_all(line)?;
        *bytes += added;
        Ok(())
    }
}

/// Opens the log at its end, a new one if it has more than `bytes_max`; returns what it holds, too.
fn open(path: &Path, bytes_max: u64) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::metadata(path).is_ok_and(|found| found.len() > bytes_max) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    let mut file = OpenOptions::new().read(true).create(true).append(true).open(path)?;
    let bytes = cut_torn_line(&mut file)?;
    Ok((file, bytes))
}

/// Cuts off what a crash or a full disk left of a line, so that the next one is whole; returns what the log holds then.
fn cut_torn_line(file: &mut File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    let from = bytes.saturating_sub(LINE_BYTES_MAX);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(LINE_BYTES_MAX).read_to_end(&mut end)?;
    let whole = match end.iter().rposition(|&byte| byte == b'\n') {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => {
            file.write_all(b"\n")?;
            return Ok(bytes + 1);
        }
    };
    if whole < bytes {
        file.set_len(whole)?;
    }
    Ok(whole)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_batch_is_one_line_and_the_log_is_bounded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path().join("logs");
        let mut log = MetricsLog { bytes_max: 400, ..MetricsLog::new(&folder) };
        let mut report = Report::default();
        let lines = |name: &str| -> Vec<Value> {
            let text = fs::read_to_string(folder.join(name)).expect("it is there");
            text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
        };
        report.laps.read = Duration::from_millis(5);
        assert!(!log.see(&report, true, "now"));
        for batch in 1..=3 {
            report.batches += 1;
            report.batch_id = batch;
            report.files += 2;
            (report.tally.records, report.tally.dead) = (batch * 10, batch);
            (report.applied.conflicts, report.applied.refused) = (batch, batch);
            assert!(log.see(&report, false, "now"));
            assert!(!log.see(&report, false, "now"));
        }
        let (before, now) = (lines("streaming_metrics.log.1"), lines(NAME));
        assert_eq!((before.len(), now.len()), (2, 1));
        let numbers = |line: &Value| {
            ["batch", "files", "records", "conflict", "quarantined"].map(|name| line[name].as_u64())
        };
        assert_eq!(numbers(&now[0]), [3, 2, 10, 1, 2].map(Some));
        assert_eq!(before[0]["read_ms"], 5);
    }

    #[test]
    fn a_line_that_a_crash_tore_is_cut_off() {
        let check = |left: &str, expected: &[&str]| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            fs::write(folder.path().join(NAME), left).expect("written");
            let mut log = MetricsLog::new(folder.path());
            let mut report = Report::default();
            report.batches = 1;
            log.see(&report, false, "now");
            let text = fs::read_to_string(folder.path().join(NAME)).expect("it is there");
            let mut lines: Vec<&str> = text.lines().collect();
            let last: Value = serde_json::from_str(lines.pop().expect("a line")).expect("a line is JSON");
            assert_eq!((last["at"].as_str(), lines.as_slice()), (Some("now"), expected), "{left}");
        };
        check("", &[]);
        check("{}\n", &["{}"]);
        check("{}\n{\"at\":\"no", &["{}"]);
        check("{\"at\":\"no", &[]);
        // What is not ours is left as it is.
        let long = "x".repeat(2 * LINE_BYTES_MAX as usize);
        check(&long, &[&long]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_stops_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("logs"), "a file").expect("written");
        let mut log = MetricsLog::new(&folder.path().join("logs"));
        let mut report = Report::default();
        report.batches = 1;
        assert!(log.see(&report, false, "now"));
    }
}

//! The seam of engine and folder: files change between steps, batches are in flight, every record counts once.
//!
//! A commit made inline is known to the job only a step later, so whatever changes between two steps changes
//! while a batch is in flight. Each record has a key of its own: its windows show how often it was counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::Arc,
};

use telemetra_connectors::folder::{Arrival, FolderInput, FolderOptions, FolderOrder, FolderSource};
use telemetra_core::window::WindowSpec;
use telemetra_engine::{
    committer::CommitMode,
    error::JobError,
    ids::AttemptId,
    limits::{BATCH_BYTES_MAX, Rules},
    sim::{audit::assert_balanced, dice::Dice, sink::MemSink, sums::Sums},
    step::{Job, Stepped},
};

const NOW: i64 = 1_750_000_000_000;

/// A folder, a store and the job between them.
struct Seam {
    dir: tempfile::TempDir,
    sink: MemSink<Sums>,
    job: Option<Job<Sums, FolderSource, MemSink<Sums>>>,
    options: FolderOptions,
    mode: CommitMode,
    batch_records: u64,
    now_ms: i64,
    written: usize,
    /// What a failure names.
    name: String,
}

fn window() -> WindowSpec {
    WindowSpec::new(60_000, 10_000).expect("six panes to a window")
}

impl Seam {
    fn new(batch_records: u64, mode: CommitMode, order: FolderOrder) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let options =
            FolderOptions { arrival: Arrival::Rename, order, threads: 1, ..FolderOptions::default() };
        let sink = MemSink::new(window(), Sums::lens());
        let mut seam = Self {
            dir,
            sink,
            job: None,
            options,
            mode,
            batch_records,
            now_ms: NOW,
            written: 0,
            name: String::new(),
        };
        seam.restart();
        seam
    }

    /// The instance ends as it stands; another one takes over.
    fn restart(&mut self) {
        self.job = None;
        let rules = Rules {
            window: window(),
            delay_ms: 10_000,
            future_skew_ms: 60_000,
            idle_timeout_ms: i64::MAX / 4,
            records_per_trigger: Some(self.batch_records),
            batch_bytes_max: BATCH_BYTES_MAX,
            provisional_rows_max: 5_000,
            replay_records_max: 10_000_000,
            read_on: false,
            replay_now_ms: self.now_ms,
            workers: 2,
            meaning: "meaning".to_owned(),
            accept_changed_meaning: false,
            keep_late_files: false,
            skip_gaps: false,
        };
        let input = FolderInput { name: "chat", path: Some(self.dir.path().to_owned()) };
        let source = FolderSource::new(vec![input], self.options.clone());
        let mut dice = Dice::new(self.now_ms.cast_unsigned());
        let attempts = Box::new(move || AttemptId(u128::from(dice.roll())));
        let (logic, sink) = (Arc::new(Sums::new(window())), self.sink.instance());
        let job = Job::start(logic, rules, source, sink, self.mode, self.now_ms, attempts);
        self.job = Some(job.expect("taken over"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds new records to the end of a file, which need not be there.
    fn append(&mut self, name: &str, records: usize) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).expect("opened");
        for number in self.written..self.written + records {
            let mut line = Sums::record(true, NOW, &format!("k{number}"), 1);
            line.push(b'\n');
            file.write_all(&line).expect("written");
        }
        self.written += records;
    }

    fn touch(&self, name: &str) {
        let file = File::options().append(true).open(self.path(name)).expect("opened");
        let time = file.metadata().expect("there").modified().expect("known");
        file.set_modified(time + std::time::Duration::from_secs(1)).expect("time set");
    }

    fn rename(&self, old: &str, new: &str) {
        fs::rename(self.path(old), self.path(new)).expect("renamed");
    }

    /// Another file of the same content takes the name.
    fn replace(&self, name: &str) {
        fs::copy(self.path(name), self.path(".copy")).expect("copied");
        self.rename(".copy", name);
    }

    /// One trigger, a second later; records of the batch, 0 if it was dropped.
    fn step(&mut self) -> u64 {
        self.now_ms += 1_000;
        match self.job.as_mut().expect("a job").step(self.now_ms) {
            Ok(Stepped::Batch { records }) => records,
            Ok(Stepped::Nothing | Stepped::Dropped) | Err(JobError::Retry(_)) => 0,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    fn steps(&mut self, count: u64) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Reads to the end and holds what was counted against what was written.
    fn check(mut self, name: &str) {
        let mut quiet = 0;
        for _ in 0..1_000 {
            quiet = if self.step() == 0 { quiet + 1 } else { 0 };
            if quiet == 5 {
                break;
            }
        }
        assert_eq!(quiet, 5, "{name}: it must come to its end");
        let job = self.job.as_mut().expect("a job");
        job.drain(self.now_ms).unwrap_or_else(|error| panic!("{name}: {error}"));
        drop(self.job);
        self.sink.settled(|store| {
            assert_balanced(store);
            let mut counted: BTreeMap<&str, i64> = BTreeMap::new();
            for ((key, _), row) in &store.rows {
                *counted.entry(key).or_default() += row.count;
            }
            let keys: Vec<String> = (0..self.written).map(|number| format!("k{number}")).collect();
            let expected: BTreeMap<&str, i64> = keys.iter().map(|key| (key.as_str(), 6)).collect();
            assert_eq!(counted, expected, "{name}");
            assert_eq!(store.totals.in_windows, self.written as i64, "{name}");
            assert!(store.batches.iter().all(|batch| batch.gaps.is_empty()), "{name}");
        });
    }
}

#[test]
fn a_file_changes_while_its_batch_is_in_flight() {
    let check = |name: &str, change: fn(&mut Seam)| {
        for mode in [CommitMode::Inline, CommitMode::Threaded] {
            // Batches end inside a file, at its end and behind it.
            for batch_records in 1..9 {
                for steps in 1..5 {
                    let mut seam = Seam::new(batch_records, mode, FolderOrder::Name);
                    seam.append("b", 5);
                    seam.append("d", 5);
                    seam.steps(steps);
                    change(&mut seam);
                    seam.check(&format!("{name}, {mode:?}, {batch_records} records, {steps} steps"));
                }
            }
        }
    };
    check("nothing", |_| ());
    check("the first is touched", |seam| seam.touch("b"));
    check("the last is touched", |seam| seam.touch("d"));
    check("the first grows", |seam| seam.append("b", 2));
    check("the last grows", |seam| seam.append("d", 2));
    check("both grow", |seam| ["b", "d"].iter().for_each(|name| seam.append(name, 2)));
    check("it grows twice", |seam| {
        seam.append("b", 1);
        seam.step();
        seam.append("b", 1);
    });
    check("one comes between", |seam| seam.append("c", 3));
    check("one comes before", |seam| seam.append("a", 3));
    check("one comes between, one grows", |seam| {
        seam.append("c", 3);
        seam.append("b", 1);
    });
    check("it is renamed behind", |seam| seam.rename("b", "e"));
    check("it is renamed before", |seam| seam.rename("d", "a"));
    check("it is renamed and grows", |seam| {
        seam.rename("b", "c");
        seam.append("c", 2);
    });
    check("it is rotated", |seam| {
        seam.rename("d", "c");
        seam.append("d", 2);
    });
    check("a copy takes its place", |seam| ["b", "d"].iter().for_each(|name| seam.replace(name)));
    check("it grows and another instance takes over", |seam| {
        seam.append("b", 2);
        seam.append("c", 2);
        seam.restart();
    });
}

#[test]
fn files_settle_while_batches_are_in_flight() {
    for batch_records in 1..9 {
        let mut seam = Seam::new(batch_records, CommitMode::Inline, FolderOrder::Name);
        seam.options.arrival = Arrival::Settle;
        seam.restart();
        seam.append("b", 5);
        seam.append("d", 5);
        seam.steps(2);
        // It settles two steps after the others, which are being read by then.
        seam.append("c", 3);
        seam.steps(2);
        seam.append("d", 1);
        seam.step();
        seam.append("b", 1);
        seam.check(&format!("{batch_records} records"));
    }
}

#[test]
fn whatever_happens_to_files_every_record_counts_once() {
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let order = dice.pick(&[FolderOrder::Name, FolderOrder::Name, FolderOrder::EventTime]);
        let mode = dice.pick(&[CommitMode::Inline, CommitMode::Threaded]);
        let mut seam = Seam::new(1 + dice.below(7), mode, order);
        // What is read again after a restart is looked for under its recorded name.
        let renames = dice.one_in(2);
        seam.name = format!("seed {seed}");
        let mut names: Vec<String> = Vec::new();
        for round in 0..12 {
            let mut changed = BTreeSet::new();
            for nth in 0..dice.below(4) {
                let new = format!("{:02}-{round}-{nth}", dice.below(20));
                let at = dice.below(names.len() as u64) as usize;
                let Some(name) = names.get(at).filter(|name| !changed.contains(*name)).cloned() else {
                    seam.append(&new, 1 + dice.below(6) as usize);
                    changed.insert(new.clone());
                    names.push(new);
                    continue;
                };
                match dice.below(6) {
                    0 => seam.touch(&name),
                    1 => seam.replace(&name),
                    2 if renames => {
                        seam.rename(&name, &new);
                        names[at].clone_from(&new);
                        changed.insert(new);
                    }
                    3 => {
                        seam.append(&new, 1 + dice.below(6) as usize);
                        names.push(new);
                    }
                    _ => seam.append(&name, 1 + dice.below(3) as usize),
                }
                changed.insert(name);
            }
            seam.steps(1 + dice.below(2));
            if !renames && dice.one_in(6) {
                seam.restart();
            }
        }
        seam.check(&format!("seed {seed}"));
    }
}

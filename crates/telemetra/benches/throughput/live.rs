//! Many streams, live: a file a second is renamed in while the job runs with a trigger of one second.
//!
//! The feeder is part of the parent, so that its CPU time is not the job's.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use telemetra::{
    cli::Compress,
    commands::{
        meter::{InputNow, Meter as Progress},
        run::{Pipeline, RunOptions},
        run_loop::{Conduct, Ending, Work, drive, now_ms},
    },
    generate::feed::Feed,
    settings::Settings,
    signals::Stop,
    snapshot::Latest,
    wiring,
};
use telemetra_core::generate::ChatPlan;
use telemetra_engine::{error::JobError, report::Report, step::Stepped};

use crate::{
    cost::{Meter, Outcome, Rhythm, cpu_s},
    stages::settings,
};

/// The stages, one for each store.
pub(crate) const STAGES: [&str; 2] = ["live on SQLite", "live on PostgreSQL"];
/// Streams that people write in.
pub(crate) const STREAMS: u32 = 5_000;
/// Chat events a second.
pub(crate) const RATE: u32 = 50_000;
/// How long a watermark waits, the default of `run chat`, milliseconds.
pub(crate) const DELAY_MS: i64 = 10_000;
const USERS: u32 = 500_000;
/// Event time in one file, milliseconds; it can be read from its end on.
pub(crate) const FILE_MS: i64 = 1_000;

/// Writes what has happened since it looked last, until it is stopped.
pub(crate) struct Feeder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Feeder {
    /// Begins to call `write` every so often.
    pub(crate) fn start(
        every: Duration,
        mut write: impl FnMut() -> std::io::Result<()> + Send + 'static,
    ) -> Feeder {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !asked.load(Ordering::Relaxed) {
                write()?;
                thread::sleep(every);
            }
            Ok(())
        });
        Feeder { stop, thread }
    }

    /// Begins to feed `folder/chat` at the pace of the clock.
    pub(crate) fn over_folder(folder: &Path) -> anyhow::Result<Feeder> {
        let plan = ChatPlan {
            streams: STREAMS,
            users: USERS,
            // Between the bursts of its cycle the generator stays below the mean rate that it is told.
            rate_per_second: f64::from(RATE) * 1.3,
            start_ms: now_ms(),
            viewer_interval_ms: 0,
            ..ChatPlan::default()
        };
        let mut feed = Feed::new(folder, plan, FILE_MS, Compress::None)?;
        Ok(Feeder::start(Duration::from_millis(50), move || feed.write_until(now_ms(), u64::MAX)))
    }

    /// Ends it.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let result = self.thread.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))?;
        Ok(result?)
    }
}

/// Runs the job over `folder`.
pub(crate) fn run_folder(folder: &Path, store: &str, seconds: u64, workers: u64) -> anyhow::Result<Outcome> {
    let flags = ["--trigger-interval", "1s", "--workers", &workers.to_string()];
    run(&settings(folder, store, &flags)?, seconds)
}

/// Runs the job for so many seconds.
pub(crate) fn run(settings: &Settings, seconds: u64) -> anyhow::Result<Outcome> {
    let started = wiring::start(settings, &RunOptions::default())?;
    let conduct = Conduct {
        settle_max: Duration::ZERO,
        once: false,
        drain: false,
        trigger: settings.flow.trigger,
        retry_delay: settings.flow.retry_delay,
    };
    let stop = Stop::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut watched = Watched { inner: started.work, stop: stop.clone(), until, marks: Vec::new() };
    let mut progress =
        Progress::new(Latest::default(), "chat".into(), Pipeline::Chat, Box::new(InputNow::default));
    let mut meter = Meter::default();
    let ending = meter.time(|| Ok(drive(&mut watched, &conduct, &mut progress, &stop, started.ahead)))?;
    ensure!(ending == Ending::Stopped, "{ending:?}");
    let rhythm = watched.rhythm().context("too short a time: no rhythm yet")?;
    let events = watched.report().tally.counted;
    Ok(Outcome { rhythm: Some(rhythm), ..meter.outcome(events)? })
}

/// A job that notes how it stands after every batch, and stops when its time is over.
struct Watched {
    inner: Box<dyn Work>,
    stop: Stop,
    until: Instant,
    marks: Vec<Mark>,
}

/// How a job stood after a batch.
struct Mark {
    at: Instant,
    cpu_s: f64,
    records: u64,
    provisional_rows: u64,
    final_rows: u64,
}

impl Watched {
    fn rhythm(&self) -> Option<Rhythm> {
        let half = &self.marks[self.marks.len() / 2..];
        let (first, last) = (half.first()?, half.last()?);
        let seconds = (last.at - first.at).as_secs_f64();
        let a_second = |of: fn(&Mark) -> u64| (of(last) - of(first)) as f64 / seconds;
        (seconds > 0.0).then(|| Rhythm {
            events_per_s: a_second(|mark| mark.records),
            interval_ms: seconds * 1e3 / (half.len() - 1) as f64,
            cpu_share: (last.cpu_s - first.cpu_s) / seconds,
            provisional_rows_per_s: a_second(|mark| mark.provisional_rows),
            final_rows_per_s: a_second(|mark| mark.final_rows),
            open_windows: self.report().open_windows,
        })
    }
}

impl Work for Watched {
    fn step(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        let stepped = self.inner.step(now_ms)?;
        if matches!(stepped, Stepped::Batch { records: 1.. }) {
            let report = self.inner.report();
            self.marks.push(Mark {
                at: Instant::now(),
                cpu_s: cpu_s().map_err(|error| JobError::Halted(error.to_string()))?,
                records: report.tally.records,
                provisional_rows: report.provisional_rows,
                final_rows: report.final_rows,
            });
        }
        if Instant::now() >= self.until {
            self.stop.ask(15);
        }
        Ok(stepped)
    }
    fn step_without_reading(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        self.inner.step_without_reading(now_ms)
    }
    fn settle(&mut self) -> Result<bool, JobError> {
        self.inner.settle()
    }
    fn drain(&mut self, now_ms: i64) -> Result<(), JobError> {
        self.inner.drain(now_ms)
    }
    fn flush(&mut self, now_ms: i64) -> Result<(), JobError> {
        self.inner.flush(now_ms)
    }
    fn report(&self) -> &Report {
        self.inner.report()
    }
    fn input_names(&self) -> Vec<&'static str> {
        self.inner.input_names()
    }
    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), JobError> {
        self.inner.set_halted(cause)
    }
}

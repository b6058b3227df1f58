//! What follows a batch of commerce: a line in the log of metrics, and the export of what it refused.
//!
//! It stands between the loop and the engine's job, and changes nothing of what either sees.

use std::path::Path;

use telemetra_engine::{error::JobError, report::Report, step::Stepped};

use super::{
    metrics_log::MetricsLog,
    run_loop::{Work, now_ms},
};
use crate::{quarantine::exporter::Exporter, terminal::instant};

/// A job of which each applied batch is logged and exported.
pub struct AfterCommit {
    work: Box<dyn Work>,
    log: MetricsLog,
    exporter: Exporter,
}

impl AfterCommit {
    /// Follows `work` from here on; the log lies in `log_dir`.
    pub fn new(work: Box<dyn Work>, log_dir: &Path, exporter: Exporter) -> Self {
        Self { work, log: MetricsLog::new(log_dir), exporter }
    }

    /// Looks at what `done` came to.
    fn see<T>(&mut self, handed_over: bool, done: Result<T, JobError>) -> Result<T, JobError> {
        if self.log.see(self.work.report(), handed_over, &instant(now_ms())) {
            self.exporter.wake();
        }
        done
    }
}

impl Work for AfterCommit {
    fn step(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        let done = self.work.step(now_ms);
        let handed_over = matches!(done, Ok(Stepped::Batch { .. }));
        self.see(handed_over, done)
    }
    fn step_without_reading(&mut self, now_ms: i64) -> Result<Stepped, JobError> {
        self.work.step_without_reading(now_ms)
    }
    fn settle(&mut self) -> Result<bool, JobError> {
        let done = self.work.settle();
        self.see(false, done)
    }
    fn drain(&mut self, now_ms: i64) -> Result<(), JobError> {
        let done = self.work.drain(now_ms);
        self.see(false, done)
    }
    fn flush(&mut self, now_ms: i64) -> Result<(), JobError> {
        let done = self.work.flush(now_ms);
        self.see(false, done)
    }
    fn report(&self) -> &Report {
        self.work.report()
    }
    fn input_names(&self) -> Vec<&'static str> {
        self.work.input_names()
    }
    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), JobError> {
        self.work.set_halted(cause)
    }
}

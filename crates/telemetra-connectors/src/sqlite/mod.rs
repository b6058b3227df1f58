//! The embedded store: one SQLite file that holds results and ledger.
//!
//! | file | owns |
//! |---|---|
//! | `connection` | opening the file; what an error means for a batch |
//! | `lock` | one instance per job |
//! | `migrate`, `migrations/` | the schema |
//! | `take_over` | the epoch |
//! | `commit` | one batch, one transaction |
//! | `ledger` | positions, ranges, segments, gaps, refused and late records |
//! | `chat_rows` | `chat_summary_minute` and `moments` |
//! | `snapshot` | the SQL that stores share ([`crate::ledger`]), run on SQLite |
//! | `reader` | a connection that cannot write |
//!
//! The law itself is [`telemetra_engine::audit`]. The invariant: whatever stops a batch, the file holds all of
//! it or nothing.

mod chat_rows;
mod commit;
mod connection;
mod ledger;
mod lock;
mod migrate;
mod reader;
mod snapshot;
mod take_over;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::Connection;
use telemetra_core::{
    chat::{Chat, rows},
    window::WindowSpec,
};
use telemetra_engine::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{Applied, Commit, Recovered, Sink, SinkError},
    source::Input,
};

use self::{connection::Failure, lock::JobLock};
pub use self::{migrate::SCHEMA_VERSION, reader::open_reader};
pub use crate::ledger::JOB_NAME_BYTES_MAX;
use crate::ledger::{check_job_name, text};

/// Brings the store at `path` to [`SCHEMA_VERSION`], making the file if there is none; returns the version it
/// had before, 0 for a new file.
///
/// # Errors
/// `Halt` on a file that is no database, a newer schema or tables of our names that are not ours; `NotApplied`
/// when the disk or another writer is in the way.
pub fn migrate(path: &Path) -> Result<usize, SinkError> {
    let run = || migrate::migrate(&mut connection::open_writer(path)?, now_ms());
    run().map_err(|failure| failure.into_sink_error(path))
}

/// The store of one chat job.
#[derive(Debug)]
pub struct SqliteSink {
    path: PathBuf,
    /// `None` between a COMMIT in doubt and the next question.
    db: Option<Connection>,
    job: Job,
    lock: Option<JobLock>,
    held: Option<Held>,
}

/// What a job is for good.
#[derive(Clone, Debug)]
struct Job {
    name: String,
    window: WindowSpec,
}

/// What an instance has once it took the job over.
#[derive(Clone, Debug)]
struct Held {
    epoch: u64,
    inputs: Vec<Input>,
}

impl SqliteSink {
    /// Opens the store at `path` for `job`, making and migrating it as needed.
    ///
    /// # Errors
    /// As [`migrate`]; `Halt` for a job name outside `[A-Za-z0-9_-]{1,64}`.
    pub fn open(path: &Path, job: &str, window: WindowSpec) -> Result<Self, SinkError> {
        check_job_name(job)?;
        migrate(path)?;
        let job = Job { name: job.to_owned(), window };
        Ok(Self { path: path.to_owned(), db: None, job, lock: None, held: None })
    }

    /// Runs `work` on the connection, opened anew if it was closed.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection, &Job) -> Result<T, Failure>,
    ) -> Result<T, SinkError> {
        let db = match self.db.take() {
            Some(db) => Ok(db),
            None => connection::open_writer(&self.path),
        };
        let result = db.and_then(|mut db| {
            let result = work(&mut db, &self.job);
            self.db = Some(db);
            result
        });
        result.map_err(|failure| failure.into_sink_error(&self.path))
    }

    fn held(&self) -> Result<Held, SinkError> {
        let missing = || SinkError::Halt(format!("job {} was not taken over", self.job.name));
        self.held.clone().ok_or_else(missing)
    }
}

impl Sink<Chat> for SqliteSink {
    fn take_over(&mut self, inputs: &[Input], meaning: &str) -> Result<Recovered, SinkError> {
        if self.lock.is_none() {
            self.lock = Some(JobLock::take(&self.path, &self.job.name)?);
        }
        let path = self.path.clone();
        let recovered =
            self.with(|db, job| take_over::take_over(db, &path, job, inputs, meaning, now_ms()))?;
        self.held = Some(Held { epoch: recovered.epoch, inputs: inputs.to_vec() });
        Ok(recovered)
    }

    fn commit(&mut self, commit: &Commit<rows::ChatRows>) -> Result<Applied, SinkError> {
        let held = self.held()?;
        self.with(|db, job| commit::commit(db, job, &held, commit, now_ms())).map(|()| Applied::default())
    }

    fn was_applied(&mut self, batch_id: u64, attempt: AttemptId) -> Result<Option<Applied>, SinkError> {
        let epoch = self.held()?.epoch;
        // After a failed sync the file itself is asked, as a successor would: what the old connection
        // remembers of it may be wrong.
        self.db = None;
        self.with(|db, job| commit::was_applied(db, job, epoch, batch_id, attempt))
            .map(|is_applied| is_applied.then(Applied::default))
    }

    fn dead_offsets(
        &mut self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Vec<Offset>, SinkError> {
        let held = self.held()?;
        self.with(|db, job| ledger::dead_offsets(db, &job.name, &held, partition, range))
    }

    fn answer(&mut self, ask: &rows::BaselineAsk) -> Result<rows::BaselineAnswer, SinkError> {
        self.with(|db, _| chat_rows::answer(db, ask))
    }

    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), SinkError> {
        let epoch = self.held()?.epoch;
        self.with(|db, job| commit::set_halted(db, &job.name, epoch, cause, now_ms()))
    }
}

impl Held {
    fn input(&self, partition: PartitionId) -> Result<&Input, Failure> {
        self.inputs
            .get(usize::from(partition.input))
            .ok_or_else(|| Failure::halt(format!("partition {partition} belongs to no input of this job")))
    }
}

/// The wall clock, milliseconds; for `processed_at` and its like, which no result depends on.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

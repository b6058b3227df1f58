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
//! | `tables` | what the protocol asks of a pipeline's tables |
//! | `chat_rows` | `chat_summary_minute` and `moments` |
//! | `commerce_rows` | `user_events` and `rejected_events` |
//! | `quarantine` | refused records: exported, tried again |
//! | `snapshot` | the SQL that stores share ([`crate::ledger`]), run on SQLite |
//! | `reader` | a connection that cannot write |
//!
//! The law itself is [`telemetra_engine::audit`]. The invariant: whatever stops a batch, the file holds all of
//! it or nothing.

mod chat_rows;
mod commerce_rows;
mod commit;
mod connection;
mod ledger;
mod lock;
mod migrate;
mod quarantine;
mod reader;
mod snapshot;
mod tables;
mod take_over;

use std::{
    fmt,
    marker::PhantomData,
    ops::Range,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::Connection;
use telemetra_core::{logic::Logic, window::WindowSpec};
use telemetra_engine::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{Applied, Commit, Recovered, Sink, SinkError},
    source::Input,
};

use self::{connection::Failure, lock::JobLock, tables::Tables};
pub use self::{migrate::SCHEMA_VERSION, quarantine::open_quarantine, reader::open_reader};
pub use crate::ledger::JOB_NAME_BYTES_MAX;
use crate::ledger::{ChatTables, CommerceTables, Keeps, Pipeline, check_job_name, text};

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

/// The store of one job, whose pipeline has the tables `T`.
pub struct SqliteSink<T = ChatTables> {
    path: PathBuf,
    /// `None` between a COMMIT in doubt and the next question.
    db: Option<Connection>,
    job: Job,
    lock: Option<JobLock>,
    held: Option<Held>,
    tables: PhantomData<fn() -> T>,
}

/// What a job is for good.
#[derive(Clone, Debug)]
struct Job {
    name: String,
    pipeline: Pipeline,
}

/// What an instance has once it took the job over.
#[derive(Clone, Debug)]
struct Held {
    epoch: u64,
    inputs: Vec<Input>,
}

impl SqliteSink {
    /// Opens the store at `path` for chat job `job`, making and migrating it as needed.
    ///
    /// # Errors
    /// As [`migrate`]; `Halt` for a job name outside `[A-Za-z0-9_-]{1,64}`.
    pub fn open(path: &Path, job: &str, window: WindowSpec) -> Result<Self, SinkError> {
        Self::open_for(path, job, Pipeline::Chat(window))
    }
}

impl SqliteSink<CommerceTables> {
    /// Opens the store at `path` for commerce job `job`, making and migrating it as needed.
    ///
    /// # Errors
    /// As [`SqliteSink::open`].
    pub fn open_commerce(path: &Path, job: &str) -> Result<Self, SinkError> {
        Self::open_for(path, job, Pipeline::Commerce)
    }
}

impl<T> SqliteSink<T> {
    fn open_for(path: &Path, job: &str, pipeline: Pipeline) -> Result<Self, SinkError> {
        check_job_name(job)?;
        migrate(path)?;
        let job = Job { name: job.to_owned(), pipeline };
        Ok(Self { path: path.to_owned(), db: None, job, lock: None, held: None, tables: PhantomData })
    }

    /// Runs `work` on the connection, opened anew if it was closed.
    fn with<A>(
        &mut self,
        work: impl FnOnce(&mut Connection, &Job) -> Result<A, Failure>,
    ) -> Result<A, SinkError> {
        let db = match self.db.take() {
            Some(db) => Ok(db),
            None => connection::open_writer(&self.path).and_then(|db| {
                if self.job.pipeline == Pipeline::Commerce {
                    connection::hold_indexes(&db)?;
                }
                Ok(db)
            }),
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

impl<T: Tables> Sink<<T as Keeps>::Logic> for SqliteSink<T> {
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

    fn commit(
        &mut self,
        commit: &Commit<<<T as Keeps>::Logic as Logic>::Rows>,
    ) -> Result<Applied, SinkError> {
        let held = self.held()?;
        self.with(|db, job| commit::commit::<T>(db, job, &held, commit, now_ms()))
    }

    fn was_applied(&mut self, batch_id: u64, attempt: AttemptId) -> Result<Option<Applied>, SinkError> {
        let epoch = self.held()?.epoch;
        // After a failed sync the file itself is asked, as a successor would: what the old connection
        // remembers of it may be wrong.
        self.db = None;
        self.with(|db, job| commit::was_applied(db, job, epoch, batch_id, attempt))
    }

    fn dead_offsets(
        &mut self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Vec<Offset>, SinkError> {
        let held = self.held()?;
        self.with(|db, job| ledger::dead_offsets(db, T::REFUSED, &job.name, &held, partition, range))
    }

    fn answer(
        &mut self,
        ask: &<<T as Keeps>::Logic as Logic>::Ask,
    ) -> Result<<<T as Keeps>::Logic as Logic>::Answer, SinkError> {
        self.with(|db, _| T::answer(db, ask))
    }

    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), SinkError> {
        let epoch = self.held()?.epoch;
        self.with(|db, job| commit::set_halted(db, &job.name, epoch, cause, now_ms()))
    }
}

impl<T> fmt::Debug for SqliteSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, job, held, .. } = self;
        f.debug_struct("SqliteSink").field("path", path).field("job", job).field("held", held).finish()
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

//! What `status`, `audit` and the page read, of either store: a connection that cannot write.
//!
//! Every call reads one snapshot, so its numbers belong together; a writer is never held up. Lists have a
//! page size.

use std::{fmt::Debug, time::Duration};

use telemetra_core::chat::shown::{MomentShown, RatePoint, StreamNow};
use telemetra_engine::{
    audit::Report,
    sink::SinkError,
    status::{BatchStatus, JobStatus},
};

use super::{Arg, FileLedger, Rejected, Snapshot, Wanted, audit, int, quarantine, shown, status};

/// Most rows that one call returns, whatever is asked for.
const PAGE_ROWS_MAX: usize = 10_000;

/// Longest wait for an answer to a question of `status` or the page.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a sum of the audit, which may read whole tables.
const AUDIT_LIMIT: Duration = Duration::from_secs(3_600);

/// A store as its reader needs it.
pub(crate) trait Readable: Debug + Send {
    /// Runs `read` once in a snapshot of its own; a server has `limit` for each answer.
    ///
    /// # Errors
    /// `NotApplied` when the store cannot be read now, and those of `read`.
    fn snapshot(
        &mut self,
        limit: Duration,
        read: &mut dyn FnMut(&mut dyn Snapshot) -> Result<(), SinkError>,
    ) -> Result<(), SinkError>;

    /// Whether an instance runs `job` now, as far as the store tells.
    ///
    /// # Errors
    /// `NotApplied` when that cannot be seen now.
    fn is_running(&mut self, job: &str) -> Result<bool, SinkError>;
}

/// A store opened for reading.
#[derive(Debug)]
pub struct StoreReader {
    store: Box<dyn Readable>,
}

impl StoreReader {
    pub(crate) fn new(store: impl Readable + 'static) -> Self {
        Self { store: Box::new(store) }
    }

    /// Where every job stands, or one; by name. A job that does not exist gives an empty list.
    ///
    /// # Errors
    /// `Halt` when the store holds what cannot be, `NotApplied` when it cannot be read now.
    pub fn jobs(&mut self, job: Option<&str>) -> Result<Vec<JobStatus>, SinkError> {
        self.snapshot(|db| status::jobs(db, job))
    }

    /// Audits every job, or one; by name. A job that does not exist gives an empty list.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`]; an imbalance is no error but stands in the report.
    pub fn audit(&mut self, job: Option<&str>) -> Result<Vec<Report>, SinkError> {
        self.snapshot_for(AUDIT_LIMIT, |db| audit::audit(db, job))
    }

    /// The job that a result table belongs to, such as `user_events`; `None` before the first.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn owner(&mut self, table: &str) -> Result<Option<String>, SinkError> {
        self.snapshot(|db| status::owner(db, table))
    }

    /// The latest batches of a job, latest first.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn batches(&mut self, job: &str, limit: usize) -> Result<Vec<BatchStatus>, SinkError> {
        self.snapshot(|db| status::batches(db, job, limit))
    }

    /// Whether an instance runs `job` now. SQLite tells by a lock, so there it holds on this machine only.
    ///
    /// # Errors
    /// `NotApplied` when that cannot be seen now.
    pub fn is_running(&mut self, job: &str) -> Result<bool, SinkError> {
        self.store.is_running(job)
    }

    /// Start of the newest window, provisional ones included, milliseconds; `None` without any.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn newest_ms(&mut self) -> Result<Option<i64>, SinkError> {
        self.snapshot(|db| shown::newest_ms(db))
    }

    /// Per window start in `from_ms..`, ascending: sums over all streams, or the values of `stream`.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn rates(&mut self, from_ms: i64, stream: Option<&str>) -> Result<Vec<RatePoint>, SinkError> {
        self.snapshot(|db| shown::rates(db, from_ms, stream))
    }

    /// The streams with most messages in the windows that start in `from_ms..`, busiest first, at most `most`,
    /// each with the values of its newest window that starts in `from_ms..=at_ms`.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn streams(&mut self, from_ms: i64, at_ms: i64, most: usize) -> Result<Vec<StreamNow>, SinkError> {
        self.snapshot(|db| shown::streams(db, from_ms, at_ms, most))
    }

    /// The latest moments, latest first, at most `most`.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn moments(&mut self, most: usize) -> Result<Vec<MomentShown>, SinkError> {
        self.snapshot(|db| shown::moments(db, most))
    }

    /// Refused records of a job as [`Wanted`] says, ordered by (partition, offset).
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn rejected(&mut self, job: &str, wanted: &Wanted) -> Result<Vec<Rejected>, SinkError> {
        self.snapshot(|db| quarantine::rejected(db, job, wanted))
    }

    /// Batches of a job that put something into quarantine and are not marked as exported, ascending.
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn exports_pending(&mut self, job: &str, limit: usize) -> Result<Vec<u64>, SinkError> {
        self.snapshot(|db| quarantine::exports_pending(db, job, limit))
    }

    /// What became of the records of each recorded file, in the order they were read, behind (partition, seq).
    ///
    /// # Errors
    /// As [`StoreReader::jobs`].
    pub fn files(
        &mut self,
        job: &str,
        after: Option<(u32, u32)>,
        limit: usize,
    ) -> Result<Vec<FileLedger>, SinkError> {
        self.snapshot(|db| quarantine::files(db, job, after, limit))
    }

    fn snapshot<T>(
        &mut self,
        read: impl FnMut(&mut dyn Snapshot) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.snapshot_for(ANSWER_LIMIT, read)
    }

    fn snapshot_for<T>(
        &mut self,
        limit: Duration,
        mut read: impl FnMut(&mut dyn Snapshot) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let mut answer = None;
        self.store.snapshot(limit, &mut |db| {
            answer = Some(read(db)?);
            Ok(())
        })?;
        answer.ok_or_else(|| SinkError::NotApplied("the store was not read".into()))
    }
}

/// How many rows a call returns that asks for `limit`.
pub(super) fn page(limit: usize) -> Result<Arg<'static>, SinkError> {
    Ok(Arg::Int(int(limit.min(PAGE_ROWS_MAX) as u64)?))
}

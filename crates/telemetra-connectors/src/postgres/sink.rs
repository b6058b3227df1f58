//! The store of one job on PostgreSQL, behind the engine's `Sink`.

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher, RandomState},
    marker::PhantomData,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use telemetra_core::{logic::Logic, window::WindowSpec};
use telemetra_engine::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{Applied, Commit, Recovered, Sink, SinkError},
    source::Input,
};

use super::{
    Address, Held, Job, commit,
    failure::Failure,
    in_doubt,
    link::{Link, Pulse},
    migrate, refused,
    session::Session,
    tables::Tables,
    take_over,
};
use crate::ledger::{ChatTables, CommerceTables, Keeps, Pipeline, check_job_name};

/// Longest wait for a question outside of a batch.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(40);

/// Whether this process was ever let in: a wrong password is told at once at the start, and may pass later.
static HAS_CONNECTED: AtomicBool = AtomicBool::new(false);

/// The store of one job, whose pipeline has the tables `T`.
pub struct PostgresSink<T = ChatTables> {
    link: Arc<Link>,
    job: Job,
    held: Option<Held>,
    /// Ends before the link is closed.
    pulse: Option<Pulse>,
    stream_chars_max: usize,
    tables: PhantomData<fn() -> T>,
}

impl PostgresSink {
    /// Connects to the store for chat job `job`, making its tables in a database that has none.
    ///
    /// # Errors
    /// `NotApplied` when the server cannot be reached now; `Halt` on a schema that is not ours or not of this
    /// version, on missing rights, and for a job name outside `[A-Za-z0-9_-]{1,64}`.
    pub fn open(address: &Address, job: &str, window: WindowSpec) -> Result<Self, SinkError> {
        Self::open_for(address, job, Pipeline::Chat(window))
    }

    /// Characters that the result tables' columns hold of a stream's id.
    pub fn stream_chars_max(&self) -> usize {
        self.stream_chars_max
    }
}

impl PostgresSink<CommerceTables> {
    /// Connects to the store for commerce job `job`, making its tables in a database that has none.
    ///
    /// # Errors
    /// As [`PostgresSink::open`].
    pub fn open_commerce(address: &Address, job: &str) -> Result<Self, SinkError> {
        Self::open_for(address, job, Pipeline::Commerce)
    }
}

impl<T> PostgresSink<T> {
    fn open_for(address: &Address, job: &str, pipeline: Pipeline) -> Result<Self, SinkError> {
        check_job_name(job)?;
        let link = Arc::new(Link::new(address.clone(), job));
        let ready = link.with(|session| {
            migrate::ensure_in(session)?;
            session.run(ASK_LIMIT, migrate::stream_chars_max)
        });
        let judge = if HAS_CONNECTED.load(Ordering::Relaxed) {
            Failure::into_sink_error
        } else {
            Failure::at_first_start
        };
        let stream_chars_max = ready.map_err(judge)?;
        HAS_CONNECTED.store(true, Ordering::Relaxed);
        let job = Job { name: job.to_owned(), pipeline };
        Ok(Self { link, job, held: None, pulse: None, stream_chars_max, tables: PhantomData })
    }

    fn with<A>(&self, work: impl FnOnce(&Session, &Job) -> Result<A, Failure>) -> Result<A, SinkError> {
        self.link.with(|session| work(session, &self.job)).map_err(Failure::into_sink_error)
    }

    fn held(&self) -> Result<&Held, SinkError> {
        let missing = || SinkError::Halt(format!("job {} was not taken over", self.job.name));
        self.held.as_ref().ok_or_else(missing)
    }
}

impl<T: Tables> Sink<<T as Keeps>::Logic> for PostgresSink<T> {
    fn take_over(&mut self, inputs: &[Input], meaning: &str) -> Result<Recovered, SinkError> {
        self.pulse = None;
        let recovered = self
            .with(|session, job| take_over::take_over(session, job, instance(), inputs, meaning, now_ms()))?;
        let epoch = i64::try_from(recovered.epoch).unwrap_or(i64::MAX);
        let pulse = Pulse::start(Arc::clone(&self.link), self.job.name.clone(), epoch);
        self.pulse = Some(pulse.map_err(|error| SinkError::NotApplied(format!("no thread: {error}")))?);
        self.held = Some(Held::new(recovered.epoch, inputs));
        Ok(recovered)
    }

    fn commit(
        &mut self,
        commit: &Commit<<<T as Keeps>::Logic as Logic>::Rows>,
    ) -> Result<Applied, SinkError> {
        let held = self.held()?;
        self.with(|session, job| commit::commit::<T>(session, job, held, commit, now_ms()))
    }

    fn was_applied(&mut self, batch_id: u64, attempt: AttemptId) -> Result<Option<Applied>, SinkError> {
        let epoch = self.held()?.epoch;
        // The old connection knows nothing; its end lets the server end what it had begun.
        self.link.close();
        self.with(|session, job| in_doubt::was_applied(session, job, epoch, batch_id, attempt))
    }

    fn dead_offsets(
        &mut self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Vec<Offset>, SinkError> {
        let held = self.held()?;
        self.with(|session, job| {
            session.run(ASK_LIMIT, async |client| {
                refused::dead_offsets(client, T::REFUSED, job, held, partition, range).await
            })
        })
    }

    fn answer(
        &mut self,
        ask: &<<T as Keeps>::Logic as Logic>::Ask,
    ) -> Result<<<T as Keeps>::Logic as Logic>::Answer, SinkError> {
        match T::known_answer(ask) {
            Some(answer) => Ok(answer),
            None => self.with(|session, job| T::answer(session, job, ask)),
        }
    }

    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), SinkError> {
        let epoch = self.held()?.epoch;
        self.with(|session, job| commit::set_halted(session, &job.name, epoch, cause, now_ms()))
    }

    fn noticed(&mut self) -> Result<(), SinkError> {
        self.link.noticed()
    }
}

impl<T> fmt::Debug for PostgresSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, job, held, .. } = self;
        f.debug_struct("PostgresSink").field("link", link).field("job", job).field("held", held).finish()
    }
}

impl Held {
    fn new(epoch: u64, inputs: &[Input]) -> Self {
        Self { epoch, inputs: inputs.to_vec(), asking: Cell::new(0) }
    }

    pub(super) fn input(&self, partition: PartitionId) -> Result<&Input, Failure> {
        self.inputs
            .get(usize::from(partition.input))
            .ok_or_else(|| Failure::halt(format!("partition {partition} belongs to no input of this job")))
    }
}

/// This process, as the job row names its holder; not like any other, also after a restart with the same number.
fn instance() -> &'static str {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mark = RandomState::new().hash_one(std::process::id());
        let host = if host.trim().is_empty() { "this host" } else { host.trim() };
        format!("process {} on {host} ({mark:016x})", std::process::id())
    })
}

/// The wall clock, milliseconds; for `processed_at` and its like, which no result depends on.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

//! [`MemSink`]: the trait `Sink` over a store in memory, with faults.
//!
//! ```text
//! commit ──► fault? ─ none ──────► checked, written, Ok
//!                   ─ too large ─► nothing is written, TooLarge; also by `set_records_max`
//!                   ─ lost reply ► checked, written, InDoubt
//!                   ─ late ──────► in flight, InDoubt; holds the job's lock: it is written when
//!                                  `was_applied`, `take_over` or the next `commit` waits for that lock
//!                   ─ crash ─────► the instance is dead: every call fails from then on
//! ```
//! Reads that take no lock (`answer`, `dead_offsets`) see what is committed, never what is in flight.

use std::{
    marker::PhantomData,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use telemetra_core::{logic::Logic, window::WindowSpec};

use super::{
    faults::{Fault, FaultPlan, crash},
    store::{Store, Written},
};
use crate::{
    ids::{AttemptId, Offset, PartitionId},
    sink::{Applied, Commit, Recovered, Sink, SinkError},
    source::Input,
};

/// How the simulated store sees a logic's rows, and answers what it asks.
pub struct Lens<L: Logic> {
    /// The rows as the store keeps them.
    pub written: fn(&L::Rows) -> Written,
    /// Answers from the committed tables.
    pub answer: fn(&L::Ask, &Store) -> L::Answer,
}

impl<L: Logic> Clone for Lens<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Logic> Copy for Lens<L> {}

/// What all instances share.
struct Shared {
    store: Store,
    faults: FaultPlan,
    /// A transaction whose reply was lost and that still holds the job's lock.
    in_flight: Option<(u64, Commit<Written>)>,
    /// Epoch of the instance that holds the job, if only one may.
    holder: Option<u64>,
    exclusive: bool,
    /// Batches of more records take too long.
    records_max: Option<u64>,
}

impl Shared {
    /// Waits for the job's lock: what was in flight ends.
    fn lock_job(&mut self) {
        if let Some((epoch, commit)) = self.in_flight.take() {
            // One that meanwhile breaks a rule is noted as a violation; nobody waits for its reply.
            drop(self.store.commit(epoch, &commit));
        }
    }
}

/// One instance's connection to the simulated store.
pub struct MemSink<L: Logic> {
    shared: Arc<Mutex<Shared>>,
    lens: Lens<L>,
    epoch: Option<u64>,
    dead: bool,
    logic: PhantomData<fn() -> L>,
}

impl<L: Logic> MemSink<L> {
    /// An empty store for windows of `window`.
    pub fn new(window: WindowSpec, lens: Lens<L>) -> Self {
        let shared = Shared {
            store: Store::new(window),
            faults: FaultPlan::none(),
            in_flight: None,
            holder: None,
            exclusive: false,
            records_max: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)), lens, epoch: None, dead: false, logic: PhantomData }
    }

    /// Another instance's connection to the same store.
    pub fn instance(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            lens: self.lens,
            epoch: None,
            dead: false,
            logic: PhantomData,
        }
    }

    /// Draws faults from this plan from now on, in all instances.
    pub fn set_faults(&self, faults: FaultPlan) {
        self.shared().faults = faults;
    }

    /// Lets only one instance live at a time: another is told `Busy` until it is dropped.
    pub fn set_exclusive(&self) {
        self.shared().exclusive = true;
    }

    /// Makes the store too slow for batches of more records, until told otherwise.
    pub fn set_records_max(&self, records_max: Option<u64>) {
        self.shared().records_max = records_max;
    }

    /// Shows the committed tables.
    pub fn read<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.shared().store)
    }

    /// Changes the tables behind the job's back.
    pub fn tamper<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        change(&mut self.shared().store)
    }

    /// Ends what is in flight, as a wait for the job's lock would, and shows the tables.
    pub fn settled<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        let mut shared = self.shared();
        shared.lock_job();
        look(&shared.store)
    }

    /// What befell commits so far, over all instances.
    pub fn faults_drawn(&self) -> Vec<Fault> {
        self.shared().faults.drawn().to_vec()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while it holds the store, but an assertion that fails")
    }

    fn alive(&self) -> Result<(), SinkError> {
        if self.dead { Err(crash()) } else { Ok(()) }
    }

    /// The epoch of an instance that has taken over and was not fenced since.
    fn current(&self) -> Result<u64, SinkError> {
        self.alive()?;
        let mut shared = self.shared();
        match self.epoch {
            Some(epoch) if epoch == shared.store.epoch => Ok(epoch),
            Some(epoch) => {
                Err(SinkError::Fenced(format!("epoch {epoch}, the job's is {}", shared.store.epoch)))
            }
            None => Err(shared.store.violation("the job was not taken over")),
        }
    }
}

impl<L: Logic> Drop for MemSink<L> {
    fn drop(&mut self) {
        // A test that failed while it held the store must not abort here.
        let Ok(mut shared) = self.shared.lock() else { return };
        if self.epoch.is_some() && shared.holder == self.epoch {
            shared.holder = None;
        }
    }
}

impl<L: Logic> Sink<L> for MemSink<L> {
    fn take_over(&mut self, inputs: &[Input], meaning: &str) -> Result<Recovered, SinkError> {
        self.alive()?;
        assert!(!inputs.is_empty(), "a job has inputs");
        let mut shared = self.shared();
        if shared.exclusive && shared.holder.is_some() && shared.holder != self.epoch {
            return Err(SinkError::Busy("simulated holder".to_owned()));
        }
        shared.lock_job();
        let recovered = shared.store.take_over(meaning);
        shared.holder = Some(recovered.epoch);
        drop(shared);
        self.epoch = Some(recovered.epoch);
        Ok(recovered)
    }

    fn commit(&mut self, commit: &Commit<L::Rows>) -> Result<Applied, SinkError> {
        self.alive()?;
        let Some(epoch) = self.epoch else {
            return Err(self.shared().store.violation("a commit before the job was taken over"));
        };
        let commit = with_rows(commit, (self.lens.written)(&commit.rows));
        let mut shared = self.shared();
        shared.lock_job();
        if !shared.store.tries.insert(commit.attempt) {
            return Err(shared.store.violation(&format!("try {} is used again", commit.attempt)));
        }
        let records: u64 = commit.ranges.iter().map(|range| range.tally.records).sum();
        if shared.records_max.is_some_and(|most| records > most) {
            return Err(SinkError::TooLarge("simulated time limit".to_owned()));
        }
        let fault = shared.faults.draw();
        match fault {
            None => return shared.store.commit(epoch, &commit).map(|()| Applied::default()),
            Some(Fault::LostReply | Fault::CrashAfter) => shared.store.commit(epoch, &commit)?,
            Some(Fault::Late | Fault::CrashLate) => shared.in_flight = Some((epoch, commit)),
            Some(Fault::Refused | Fault::TooLarge | Fault::Lost | Fault::CrashBefore) => {}
        }
        drop(shared);
        match fault {
            Some(Fault::Refused) => Err(SinkError::NotApplied("simulated refusal".to_owned())),
            Some(Fault::TooLarge) => Err(SinkError::TooLarge("simulated time limit".to_owned())),
            Some(Fault::CrashBefore | Fault::CrashAfter | Fault::CrashLate) => {
                self.dead = true;
                Err(crash())
            }
            _ => Err(SinkError::InDoubt("simulated loss of the reply".to_owned())),
        }
    }

    fn was_applied(&mut self, batch_id: u64, attempt: AttemptId) -> Result<Option<Applied>, SinkError> {
        self.alive()?;
        let mut shared = self.shared();
        if shared.faults.is_unanswered() {
            return Err(SinkError::InDoubt("simulated loss of the answer".to_owned()));
        }
        shared.lock_job();
        drop(shared);
        self.current()?;
        let shared = self.shared();
        let mut batches = shared.store.batches.iter().rev();
        let is_stored = batches.any(|batch| batch.batch_id == batch_id && batch.attempt == attempt);
        Ok(is_stored.then(Applied::default))
    }

    fn dead_offsets(
        &mut self,
        partition: PartitionId,
        range: Range<Offset>,
    ) -> Result<Vec<Offset>, SinkError> {
        self.current()?;
        let shared = self.shared();
        let places = (partition, range.start)..(partition, range.end.max(range.start));
        Ok(shared.store.dead_letters.range(places).map(|((_, offset), _)| *offset).collect())
    }

    fn answer(&mut self, ask: &L::Ask) -> Result<L::Answer, SinkError> {
        self.current()?;
        Ok((self.lens.answer)(ask, &self.shared().store))
    }

    fn set_halted(&mut self, cause: Option<&str>) -> Result<(), SinkError> {
        self.current()?;
        self.shared().store.halted = cause.map(str::to_owned);
        Ok(())
    }
}

/// The same commit with other rows.
pub(super) fn with_rows<A, B>(commit: &Commit<A>, rows: B) -> Commit<B> {
    Commit {
        batch_id: commit.batch_id,
        attempt: commit.attempt,
        kind: commit.kind,
        planned_at_ms: commit.planned_at_ms,
        watermark_before: commit.watermark_before,
        watermark: commit.watermark,
        open_end_ms: commit.open_end_ms,
        open_digest: commit.open_digest,
        open_count: commit.open_count,
        final_count: commit.final_count,
        window_misses: commit.window_misses,
        start_ms: commit.start_ms,
        ranges: commit.ranges.clone(),
        positions: commit.positions.clone(),
        segments: commit.segments.clone(),
        dead_letters: commit.dead_letters.clone(),
        late_events: commit.late_events.clone(),
        gaps: commit.gaps.clone(),
        rows,
        close_early: commit.close_early,
        new_meaning: commit.new_meaning.clone(),
    }
}

#[cfg(test)]
mod tests;

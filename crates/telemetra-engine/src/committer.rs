//! One commit in flight: the sink works on a thread of its own while the next batch is read and folded.
//!
//! What a commit came to is known only after [`Committer::settle`]; a reply in doubt is resolved there by
//! reading the attempt back, never by guessing.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use telemetra_core::logic::Logic;

use crate::sink::{Applied, Commit, Sink, SinkError};

/// Where the sink works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitMode {
    /// On the caller's thread, when the commit is submitted. Deterministic: for the simulator.
    Inline,
    /// On a thread of its own.
    Threaded,
}

/// What is known of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was applied.
    Applied(Applied),
    /// Nothing of it was written.
    NotApplied {
        /// Why.
        cause: String,
        /// It took the store too long: smaller, it may be applied.
        is_too_large: bool,
    },
}

/// Holds the sink and at most one commit in flight.
pub struct Committer<L: Logic, K> {
    mode: CommitMode,
    state: State<L, K>,
    lane: Option<Lane>,
}

type Done<L, K> = (K, Commit<<L as Logic>::Rows>, Result<Applied, SinkError>);

enum State<L: Logic, K> {
    Ready(K),
    Running(Receiver<Done<L, K>>),
    Done(Box<Done<L, K>>),
    /// Only while one of the calls below moves the sink.
    Moving,
}

/// A thread that does one piece of work after the other. One for all commits: a thread for each would meet another
/// part of the allocator's memory each time, and leave some behind in all of them.
struct Lane {
    work: SyncSender<Box<dyn FnOnce() + Send>>,
    thread: JoinHandle<()>,
}

impl Lane {
    fn start() -> Self {
        let (work, waiting) = sync_channel::<Box<dyn FnOnce() + Send>>(1);
        Self { work, thread: std::thread::spawn(move || waiting.into_iter().for_each(|work| work())) }
    }

    /// Hands over why the thread ended before its time.
    fn panic(self) -> ! {
        drop(self.work);
        match self.thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread ends when nobody can give it work"),
        }
    }
}

impl<L: Logic, K: Sink<L> + 'static> Committer<L, K> {
    /// A committer with nothing in flight.
    pub fn new(sink: K, mode: CommitMode) -> Self {
        Self { mode, state: State::Ready(sink), lane: None }
    }

    /// The sink; the commit before must be settled.
    pub fn sink(&mut self) -> &mut K {
        match &mut self.state {
            State::Ready(sink) => sink,
            _ => unreachable!("the sink is used only after the commit in flight is settled"),
        }
    }

    /// Gives a commit to the sink.
    pub fn submit(&mut self, commit: Commit<L::Rows>) {
        let State::Ready(mut sink) = std::mem::replace(&mut self.state, State::Moving) else {
            unreachable!("a commit is submitted only after the one before is settled")
        };
        let work = move || {
            let result = sink.commit(&commit);
            (sink, commit, result)
        };
        self.state = match self.mode {
            CommitMode::Inline => State::Done(Box::new(work())),
            CommitMode::Threaded => {
                let (tell, told) = sync_channel(1);
                // Nobody listens any more only when this committer is gone.
                let work = Box::new(move || drop(tell.send(work())));
                let lane = self.lane.get_or_insert_with(Lane::start);
                // A thread that has ended drops the work, which is told to whoever waits.
                drop(lane.work.send(work));
                State::Running(told)
            }
        };
    }

    /// Waits for the commit in flight. `None` if there was none.
    ///
    /// # Errors
    /// Those of the sink, `NotApplied` and `TooLarge` excepted; after `Retry`-like errors the outcome is still in doubt and
    /// `settle` must be called again.
    pub fn settle(&mut self) -> Option<Result<Settled, SinkError>> {
        let (mut sink, commit, result) = match std::mem::replace(&mut self.state, State::Moving) {
            State::Running(told) => match (told.recv(), self.lane.take()) {
                (Ok(done), lane) => {
                    self.lane = lane;
                    done
                }
                (Err(_), lane) => lane.expect("it was given the commit").panic(),
            },
            State::Done(done) => *done,
            other => {
                self.state = other;
                return None;
            }
        };
        let known = match result {
            Ok(applied) => Ok(Settled::Applied(applied)),
            Err(SinkError::NotApplied(cause)) => Ok(Settled::NotApplied { cause, is_too_large: false }),
            Err(SinkError::TooLarge(cause)) => Ok(Settled::NotApplied { cause, is_too_large: true }),
            Err(SinkError::InDoubt(doubt)) => match sink.was_applied(commit.batch_id, commit.attempt) {
                Err(
                    SinkError::NotApplied(_)
                    | SinkError::TooLarge(_)
                    | SinkError::InDoubt(_)
                    | SinkError::Busy(_),
                ) => {
                    let again = Err(SinkError::InDoubt(doubt.clone()));
                    self.state = State::Done(Box::new((sink, commit, again)));
                    return Some(Err(SinkError::InDoubt(doubt)));
                }
                Ok(Some(applied)) => Ok(Settled::Applied(applied)),
                Ok(None) => Ok(Settled::NotApplied { cause: doubt, is_too_large: false }),
                Err(error) => Err(error),
            },
            Err(other) => Err(other),
        };
        self.state = State::Ready(sink);
        Some(known)
    }
}

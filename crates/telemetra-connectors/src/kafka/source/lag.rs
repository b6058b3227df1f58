//! Shows positions as offsets of a consumer group, for tools that watch lags. They are never read back, and a broker
//! that takes none of them holds nobody up: a thread of its own sends the newest every few seconds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use telemetra_engine::ids::Offset;

use crate::kafka::{cluster::Cluster, fault::Fault, group::commit_group};

const SEND_EVERY: Duration = Duration::from_secs(5);
/// Longest wait at the end for the last positions to be sent.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Pause at the end before a coordinator that is not ready is asked again: one loads a group when it is first asked for.
const END_PAUSE: Duration = Duration::from_millis(100);

/// Positions on their way to the group's coordinator.
pub(super) struct Lag {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// By topic and partition: what is not sent yet.
    unsent: BTreeMap<(String, u32), Offset>,
    is_over: bool,
    is_done: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps what could not be sent for the next time, unless there is newer.
    fn put_back(&mut self, positions: Vec<(String, u32, Offset)>) {
        for (topic, number, next) in positions {
            self.unsent.entry((topic, number)).or_insert(next);
        }
    }
}

impl Lag {
    /// Sends positions to `cluster` under `group` from now on.
    pub(super) fn new(cluster: Arc<Cluster>, group: String) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let sends = move || send(&cluster, &group, &of_thread);
        if let Err(error) = thread::Builder::new().name("kafka-lag".into()).spawn(sends) {
            tracing::debug!("lags are not shown: {error}");
            shared.lock().is_done = true;
        }
        Self { shared }
    }

    /// The newest position of a partition.
    pub(super) fn show(&self, topic: &str, partition: u32, next: Offset) {
        let mut state = self.shared.lock();
        state.unsent.insert((topic.to_owned(), partition), next);
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        self.shared.ended.notify_all();
        let is_under_way = |state: &mut State| !state.is_done;
        let waited = self.shared.ended.wait_timeout_while(state, END_LIMIT, is_under_way);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn send(cluster: &Cluster, group: &str, shared: &Shared) {
    let mut end_at: Option<Instant> = None;
    loop {
        let mut state = shared.lock();
        if end_at.is_some() || !state.is_over {
            let pause = if end_at.is_some() { END_PAUSE } else { SEND_EVERY };
            state = shared.ended.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (is_over, unsent) = (state.is_over, std::mem::take(&mut state.unsent));
        drop(state);
        let positions: Vec<(String, u32, Offset)> =
            unsent.into_iter().map(|((topic, number), next)| (topic, number, next)).collect();
        let sent = commit_group(cluster, group, &positions);
        if let Err(fault) = &sent {
            tracing::debug!("lags are not shown: {fault}");
            shared.lock().put_back(positions);
        }
        if is_over {
            let end_at = *end_at.get_or_insert_with(|| Instant::now() + END_LIMIT);
            // Whoever is away, or does not let us, is not waited for.
            let is_worth_it = matches!(&sent, Err(fault @ Fault::Refused { .. }) if fault.is_passing());
            if !is_worth_it || Instant::now() >= end_at {
                shared.lock().is_done = true;
                shared.ended.notify_all();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_sent_is_kept_unless_there_is_newer() {
        let mut state = State::default();
        state.unsent.insert(("t".into(), 1), 9);
        state.put_back(vec![("t".into(), 0, 5), ("t".into(), 1, 7)]);
        let kept: Vec<_> = state.unsent.into_iter().collect();
        assert_eq!(kept, [(("t".into(), 0), 5), (("t".into(), 1), 9)]);
    }
}

//! Shows positions as offsets of a consumer group, for tools that watch lags. They are never read back, and a broker
//! that takes none of them holds nobody up: a thread of its own sends the newest every few seconds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use telemetra_engine::ids::Offset;

use crate::kafka::{cluster::Cluster, group::commit_group};

const SEND_EVERY: Duration = Duration::from_secs(5);
/// Longest wait at the end for the last positions to be sent.
const END_LIMIT: Duration = Duration::from_secs(2);

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

impl Lag {
    /// Sends positions to `cluster` under `group` from now on.
    pub(super) fn new(cluster: Arc<Cluster>, group: String) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let sends = move || send(&cluster, &group, &of_thread);
        if let Err(error) = thread::Builder::new().name("kafka-lag".into()).spawn(sends) {
            tracing::debug!("lags are not shown: {error}");
            shared.state.lock().unwrap_or_else(PoisonError::into_inner).is_done = true;
        }
        Self { shared }
    }

    /// The newest position of a partition.
    pub(super) fn show(&self, topic: &str, partition: u32, next: Offset) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unsent.insert((topic.to_owned(), partition), next);
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_over = true;
        self.shared.ended.notify_all();
        let is_under_way = |state: &mut State| !state.is_done;
        let waited = self.shared.ended.wait_timeout_while(state, END_LIMIT, is_under_way);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn send(cluster: &Cluster, group: &str, shared: &Shared) {
    loop {
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_over {
            state = shared.ended.wait_timeout(state, SEND_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (is_over, unsent) = (state.is_over, std::mem::take(&mut state.unsent));
        drop(state);
        if !unsent.is_empty() {
            let positions: Vec<(String, u32, Offset)> =
                unsent.into_iter().map(|((topic, number), next)| (topic, number, next)).collect();
            if let Err(fault) = commit_group(cluster, group, &positions) {
                tracing::debug!("lags are not shown: {fault}");
            }
        }
        if is_over {
            shared.state.lock().unwrap_or_else(PoisonError::into_inner).is_done = true;
            shared.ended.notify_all();
            return;
        }
    }
}

//! The snapshot as server-sent events, twice a second. A slow reader gets fewer of them, never a queue.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::response::sse::Event;
use futures_core::Stream;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Interval, MissedTickBehavior, interval},
};

use super::jobs::Jobs;

const EVERY: Duration = Duration::from_millis(500);

/// An endless stream of snapshots; holds its place among the bounded number of readers.
pub(super) struct Live {
    jobs: Jobs,
    ticks: Interval,
    _place: OwnedSemaphorePermit,
}

impl Live {
    /// Follows `jobs`.
    pub(super) fn new(jobs: Jobs, place: OwnedSemaphorePermit) -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { jobs, ticks, _place: place }
    }
}

impl Stream for Live {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.ticks.poll_tick(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => {
                let json = self.jobs.now().json();
                Poll::Ready(Some(Ok(Event::default().data(json))))
            }
        }
    }
}

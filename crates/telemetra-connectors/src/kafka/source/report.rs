//! What topics have to say beside their records.

use std::sync::{Arc, Mutex, PoisonError};

/// What is known after a poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Topics that are not read, and why; transactions that hold a partition.
    pub warnings: Vec<String>,
}

impl Report {
    pub(super) fn publish(self, to: &Mutex<Report>) {
        *to.lock().unwrap_or_else(PoisonError::into_inner) = self;
    }
}

/// Tells what a source knew after its last poll.
#[derive(Clone, Debug)]
pub struct Reporter(Arc<Mutex<Report>>);

impl Reporter {
    pub(super) fn new(report: Arc<Mutex<Report>>) -> Self {
        Self(report)
    }

    /// A copy of it.
    pub fn report(&self) -> Report {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

//! Why a job could not go on, one variant per decision of the caller.

use crate::{sink::SinkError, source::SourceError};

/// What stopped a step.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Source or store are away, or a batch was not written: wait and call again, nothing is lost.
    #[error("{0}")]
    Retry(String),
    /// Another instance holds the job: wait for it to end, or leave.
    #[error("{0}")]
    Busy(String),
    /// Another instance has taken over: leave at once.
    #[error("{0}")]
    Fenced(String),
    /// Going on could lose, double or falsify something: cause, exact place and the way on.
    #[error("{0}")]
    Halted(String),
}

impl From<SourceError> for JobError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Retry { .. } | SourceError::Changed(_) => JobError::Retry(error.to_string()),
            SourceError::Differs(cause) | SourceError::Halt(cause) => JobError::Halted(cause),
        }
    }
}

impl From<SinkError> for JobError {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Busy(_) => JobError::Busy(error.to_string()),
            SinkError::Fenced(_) => JobError::Fenced(error.to_string()),
            SinkError::NotApplied(_) | SinkError::TooLarge(_) | SinkError::InDoubt(_) => {
                JobError::Retry(error.to_string())
            }
            SinkError::Halt(cause) => JobError::Halted(cause),
        }
    }
}

//! Why talking to a broker failed, one variant per decision.

use std::error::Error;

use kafka_protocol::error::ResponseError;
use telemetra_engine::source::SourceError;

/// Why something that needs a broker failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No connection, or it broke: try again, maybe elsewhere.
    #[error("{place}: {cause}")]
    Away {
        /// The broker, `host:port`.
        place: String,
        /// What the system says.
        cause: String,
    },
    /// The broker refused one request.
    #[error("{place} refused {what}: {}", describe(*.code))]
    Refused {
        /// The broker, `host:port`.
        place: String,
        /// What was asked, with topic and partition.
        what: String,
        /// Kafka's error code.
        code: ResponseError,
    },
    /// It will be the same next time: what must change, in words.
    #[error("{0}")]
    Halt(String),
}

impl Fault {
    /// The connection broke, or never was.
    pub(super) fn away(place: &str, cause: impl Into<Box<dyn Error>>) -> Self {
        Self::Away { place: place.to_owned(), cause: cause.into().to_string() }
    }

    /// Whether another broker than was thought must be asked.
    pub(super) fn is_elsewhere(&self) -> bool {
        use ResponseError::{
            FencedLeaderEpoch, KafkaStorageError, LeaderNotAvailable, NotLeaderOrFollower,
            ReplicaNotAvailable, UnknownLeaderEpoch,
        };
        match self {
            Self::Away { .. } => true,
            Self::Refused { code, .. } => matches!(
                code,
                FencedLeaderEpoch
                    | KafkaStorageError
                    | LeaderNotAvailable
                    | NotLeaderOrFollower
                    | ReplicaNotAvailable
                    | UnknownLeaderEpoch
            ),
            Self::Halt(_) => false,
        }
    }

    /// Whether what was asked for is no longer there as it was planned: the planner must look what has become of it.
    pub(super) fn is_changed(&self) -> bool {
        use ResponseError::{InconsistentTopicId, OffsetOutOfRange, UnknownTopicId, UnknownTopicOrPartition};
        let Self::Refused { code, .. } = self else { return false };
        matches!(code, InconsistentTopicId | OffsetOutOfRange | UnknownTopicId | UnknownTopicOrPartition)
    }
}

impl Fault {
    /// Whether the same request may succeed later, here or elsewhere.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Away { .. } => true,
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Halt(_) => false,
        }
    }
}

impl From<Fault> for SourceError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Halt(text) => SourceError::Halt(text),
            other => SourceError::Retry { what: "Kafka".into(), source: Box::new(other) },
        }
    }
}

/// An error code in Kafka's own word.
fn describe(code: ResponseError) -> String {
    match code {
        ResponseError::TopicAuthorizationFailed => {
            "TOPIC_AUTHORIZATION_FAILED: this user may not read the topic".into()
        }
        other => format!("{other} (code {})", other.code()),
    }
}

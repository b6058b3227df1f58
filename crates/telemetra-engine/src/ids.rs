//! Names of partitions, batches and attempts.

use std::fmt;

/// The next record to read of a partition, or a record's own place in it. Only a connector translates it to
/// Kafka's notion (the log offset) or a folder's (records counted over the recorded sequence of files).
pub type Offset = u64;

/// A partition of one of the pipeline's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// Number of the input in [`crate::source::Source::inputs`].
    pub input: u8,
    /// Number of the partition in its input; 0 for a folder read in name order.
    pub partition: u32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.input, self.partition)
    }
}

/// Random id of one try to commit one batch; read back when the reply to a COMMIT is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub u128);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

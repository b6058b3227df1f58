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
        write!(f, "{}/{}", self.input, shown_partition(self.partition))
    }
}

/// Partition numbers that one making of a log has. Partition `n` of the log as it was made anew for the `g`-th time is
/// number `g * PARTITIONS_PER_GENERATION + n`: offsets of two makings never meet under one number.
pub const PARTITIONS_PER_GENERATION: u32 = 1_000_000;

/// A partition's number as people know it: `3`, and `3 (topic made anew, 2nd)` in the second making of its topic.
pub fn shown_partition(number: u32) -> String {
    let (generation, partition) = (number / PARTITIONS_PER_GENERATION, number % PARTITIONS_PER_GENERATION);
    if generation == 0 {
        return partition.to_string();
    }
    let making = generation + 1;
    let end = match (making % 10, making % 100) {
        (1, end) if end != 11 => "st",
        (2, end) if end != 12 => "nd",
        (3, end) if end != 13 => "rd",
        _ => "th",
    };
    format!("{partition} (topic made anew, {making}{end})")
}

/// Random id of one try to commit one batch; read back when the reply to a COMMIT is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub u128);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_made_anew_are_told_apart() {
        let check = |number, expected| assert_eq!(shown_partition(number), expected);
        check(0, "0");
        check(999_999, "999999");
        check(1_000_003, "3 (topic made anew, 2nd)");
        check(2_000_000, "0 (topic made anew, 3rd)");
        check(11_000_001, "1 (topic made anew, 12th)");
        check(20_000_007, "7 (topic made anew, 21st)");
    }
}

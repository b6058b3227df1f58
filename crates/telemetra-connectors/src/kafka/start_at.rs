//! Where a new job begins in its topics. A job that has positions goes on from them, whatever this says.

use std::collections::BTreeMap;

use telemetra_engine::ids::Offset;

/// Where a new job begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record that is still there.
    #[default]
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At the first record written at this time or later, milliseconds since the Unix epoch; behind the last if none is
    /// that young.
    Instant(i64),
    /// By topic and partition; one that is not named begins at its first record.
    Offsets(BTreeMap<(String, u32), StartOffset>),
}

/// Where a new job begins in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOffset {
    /// At the first record that is still there.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At this one.
    At(Offset),
}

impl StartAt {
    /// Where it begins in one partition: one of the other three, or an offset.
    pub fn of(&self, topic: &str, partition: u32) -> Start {
        match self {
            Self::Earliest => Start::Offset(StartOffset::Earliest),
            Self::Latest => Start::Offset(StartOffset::Latest),
            Self::Instant(ms) => Start::Instant(*ms),
            Self::Offsets(offsets) => {
                let named = offsets.iter().find(|((name, number), _)| name == topic && *number == partition);
                Start::Offset(named.map_or(StartOffset::Earliest, |(_, offset)| *offset))
            }
        }
    }
}

/// Where a new job begins in one partition, as [`StartAt::of`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By offset.
    Offset(StartOffset),
    /// By the time of writing, milliseconds since the Unix epoch.
    Instant(i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_is_not_named_begins_at_its_first_record() {
        let offsets = StartAt::Offsets(BTreeMap::from([(("t".into(), 1), StartOffset::At(7))]));
        let check = |start: &StartAt, topic: &str, partition, expected| {
            assert_eq!(start.of(topic, partition), expected, "{start:?} {topic} {partition}");
        };
        check(&offsets, "t", 1, Start::Offset(StartOffset::At(7)));
        check(&offsets, "t", 0, Start::Offset(StartOffset::Earliest));
        check(&offsets, "u", 1, Start::Offset(StartOffset::Earliest));
        check(&StartAt::Latest, "t", 1, Start::Offset(StartOffset::Latest));
        check(&StartAt::Instant(5), "t", 1, Start::Instant(5));
    }
}

//! The watermark, and each partition's share in it.
//!
//! [`PartitionClock`] holds the largest event time of one partition. A single wrong stamp moves nothing: an
//! event that lies more than the skew beyond the largest counts only once another of the next 20 events has
//! come as far beyond, and then the smaller of the two counts (DESIGN §5, "Watermark").

use crate::limits::POSITION_EVENTS;

/// No event older than this is waited for; milliseconds of event time, or nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watermark(i64);

impl Watermark {
    /// No watermark yet: nothing is late.
    pub const NONE: Watermark = Watermark(i64::MIN);

    /// A watermark at `ms`.
    pub fn at(ms: i64) -> Self {
        Self(ms)
    }

    /// The watermark in milliseconds, `None` before the first.
    #[inline]
    pub fn ms(self) -> Option<i64> {
        (self != Self::NONE).then_some(self.0)
    }

    /// Whether a window that ends at `end_ms` is closed.
    #[inline]
    pub fn has_passed(self, end_ms: i64) -> bool {
        end_ms <= self.0
    }
}

impl From<Option<i64>> for Watermark {
    fn from(ms: Option<i64>) -> Self {
        ms.map_or(Self::NONE, Self)
    }
}

/// Largest confirmed event time of a partition, and an unconfirmed one beyond it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionClock {
    /// Largest event time that counts, milliseconds; `None` before the first event.
    pub largest_ms: Option<i64>,
    /// A stamp more than the skew beyond the largest, waiting for a second one.
    pub pending_ms: Option<i64>,
    /// Events seen since `pending_ms` came.
    pub pending_age: u32,
}

impl PartitionClock {
    /// Takes in one event. `time_ms` counts for at most `planned_at_ms`.
    #[inline]
    pub fn observe(&mut self, time_ms: i64, planned_at_ms: i64, skew_ms: i64) {
        let time_ms = time_ms.min(planned_at_ms);
        let Some(largest) = self.largest_ms else {
            self.largest_ms = Some(time_ms);
            return;
        };
        if time_ms <= largest.saturating_add(skew_ms) {
            if time_ms > largest {
                self.largest_ms = Some(time_ms);
            }
            self.pending_age = self.pending_age.saturating_add(1);
            return;
        }
        self.observe_far(time_ms, largest, skew_ms);
    }

    #[cold]
    fn observe_far(&mut self, time_ms: i64, largest: i64, skew_ms: i64) {
        match self.pending_ms {
            Some(pending)
                if pending > largest.saturating_add(skew_ms)
                    && (self.pending_age as usize) < POSITION_EVENTS =>
            {
                self.largest_ms = Some(largest.max(pending.min(time_ms)));
                self.pending_ms = Some(pending.max(time_ms));
            }
            _ => self.pending_ms = Some(time_ms),
        }
        self.pending_age = 0;
    }

    /// Takes in what a later split of the same batch observed, having started from the same clock as the
    /// batch did.
    pub fn join(&mut self, later: &PartitionClock, skew_ms: i64) {
        let Some(theirs) = later.largest_ms else { return };
        let ours = self.largest_ms.map_or(theirs, |ours| ours.max(theirs));
        // A stamp that only seemed far from where the split began is near now.
        let near = |pending: Option<i64>| pending.filter(|&ms| ms <= ours.saturating_add(skew_ms));
        let reached =
            ours.max(near(self.pending_ms).unwrap_or(ours)).max(near(later.pending_ms).unwrap_or(ours));
        let far = |clock: &PartitionClock| {
            clock
                .pending_ms
                .filter(|&ms| ms > reached.saturating_add(skew_ms))
                .map(|ms| (ms, clock.pending_age))
        };
        let pending = far(later).or_else(|| far(self));
        self.largest_ms = Some(reached);
        self.pending_ms = pending.map(|(ms, _)| ms);
        self.pending_age = pending.map_or(0, |(_, age)| age);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEW: i64 = 60;

    /// Feeds seconds, returns the largest that counts.
    fn check(times: &[i64], largest: i64) {
        let mut clock = PartitionClock::default();
        for &time in times {
            clock.observe(time, 1_000_000, SKEW);
        }
        assert_eq!(clock.largest_ms, Some(largest), "{times:?}");
    }

    #[test]
    fn one_wrong_stamp_moves_nothing() {
        check(&[0, 1, 10_800, 2, 3], 3);
        check(&[0, 1, 59, 2], 59);
    }

    #[test]
    fn a_second_stamp_as_far_beyond_confirms_the_smaller() {
        check(&[0, 10_800, 3_600], 3_600);
        check(&[0, 3_600, 3_601, 3_602], 3_602);
    }

    #[test]
    fn a_confirmation_comes_within_twenty_events_or_not_at_all() {
        let mut times = vec![0, 10_800];
        times.extend(std::iter::repeat_n(1, 20));
        times.push(10_900);
        check(&times, 1);
    }

    #[test]
    fn an_event_counts_for_at_most_planned_at() {
        let mut clock = PartitionClock::default();
        clock.observe(50, 20, SKEW);
        assert_eq!(clock.largest_ms, Some(20));
    }

    #[test]
    fn a_split_that_began_further_on_joins() {
        // Both splits start from 0; the first ends at 100, the second saw a single event at 130.
        let start = PartitionClock { largest_ms: Some(0), ..Default::default() };
        let (mut first, mut second) = (start, start);
        for time in [40, 100] {
            first.observe(time, 1_000_000, SKEW);
        }
        second.observe(130, 1_000_000, SKEW);
        assert_eq!(second.pending_ms, Some(130));
        first.join(&second, SKEW);
        assert_eq!(first, PartitionClock { largest_ms: Some(130), pending_ms: None, pending_age: 0 });
    }
}

//! When a file may be read: it has settled, or it was renamed in.
//!
//! Pure: stamps and clock readings come as arguments. A clock or a file time that is wrong delays, but never
//! keeps a file out for good.

use super::{limits::SETTLE_MS, stamp::Stamp};

/// How files arrive in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrival {
    /// Some are written in place: one is read when size and time have not changed for two seconds.
    #[default]
    Settle,
    /// All are renamed in whole: whatever is visible is read at once.
    Rename,
}

/// Since when a file looks as it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    since_ms: i64,
}

/// What the rule of settling needs to know of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// How files arrive.
    pub(crate) arrival: Arrival,
    /// Files of some age are settled at first sight.
    pub(crate) trusts_age: bool,
}

impl Rule {
    /// Judges a file seen for the first time, or with a new stamp: `None` if it may be read at once.
    pub(crate) fn first_seen(self, stamp: &Stamp, is_renamed_in: bool, now_ms: i64) -> Option<Waiting> {
        let is_old = self.trusts_age && stamp.mtime_ms() <= now_ms.saturating_sub(SETTLE_MS);
        let is_whole = self.arrival == Arrival::Rename || is_renamed_in || is_old;
        (!is_whole).then_some(Waiting { since_ms: now_ms })
    }
}

impl Waiting {
    /// A file that was touched just now.
    pub(crate) fn since(now_ms: i64) -> Waiting {
        Waiting { since_ms: now_ms }
    }

    /// Judges a file seen again with the same stamp: `None` if it may be read now.
    pub(crate) fn seen_again(self, now_ms: i64) -> Option<Waiting> {
        // A clock that was set back starts the time anew.
        let since_ms = self.since_ms.min(now_ms);
        (now_ms.saturating_sub(since_ms) < SETTLE_MS).then_some(Waiting { since_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(mtime_ms: i64) -> Stamp {
        Stamp { dev: 1, ino: 1, size: 1, mtime_ns: mtime_ms * 1_000_000, ctime_ns: 0 }
    }

    #[test]
    fn first_sight() {
        let check = |arrival, trusts_age, mtime_ms, is_renamed_in, settled: bool| {
            let rule = Rule { arrival, trusts_age };
            assert_eq!(rule.first_seen(&stamp(mtime_ms), is_renamed_in, 10_000).is_none(), settled);
        };
        check(Arrival::Settle, false, 0, false, false);
        check(Arrival::Settle, false, 10_000, true, true);
        check(Arrival::Rename, false, 10_000, false, true);
        check(Arrival::Settle, true, 8_000, false, true);
        check(Arrival::Settle, true, 8_001, false, false);
        check(Arrival::Settle, true, 99_000, false, false);
    }

    #[test]
    fn settles_after_two_seconds_of_any_clock() {
        let waiting = Rule::default().first_seen(&stamp(99_000), false, 10_000).expect("waits");
        let waiting = waiting.seen_again(11_999).expect("waits");
        assert_eq!(waiting.seen_again(12_000), None);
        // The clock was set back an hour.
        let waiting = waiting.seen_again(-3_590_000).expect("waits");
        assert!(waiting.seen_again(-3_589_000).is_some());
        assert_eq!(waiting.seen_again(-3_588_000), None);
    }
}

//! Realistic chat, viewer and shop events from a seed, for demos, tests and benches.
//!
//! Pure: a generator is an endless sequence decided by its plan alone, and the caller writes the bytes and
//! keeps the clock. The same plan gives the same bytes on every machine and in every version of the standard
//! library, which is why the random numbers are our own ([`random`]).
//!
//! | file | owns |
//! |---|---|
//! | `chat` | the sequence: which event comes next, when, and what is wrong with it |
//! | `schedule` | how many messages a moment brings, and to which stream: bursts, raids, quiet phases |
//! | `crowd` | how popular a stream is and who is in it |
//! | `viewers` | how many watch |
//! | `message` | what people write |
//! | `broken` | records that must become dead letters, with the code each must get |
//! | `line` | JSON text: numbers, stamps, names |
//! | `words` | the tables behind `message` and `line` |
//! | `commerce` | shop events, which of them must be refused, and their exact sums |

mod broken;
mod chat;
mod commerce;
mod crowd;
mod line;
mod message;
mod random;
mod schedule;
mod viewers;
mod words;

#[cfg(test)]
mod tests;

pub use self::{
    chat::ChatGenerator,
    commerce::{CommerceGenerator, CommerceItem, CommerceKind, CommercePlan, CommerceSums},
};

use std::ops::RangeInclusive;

use crate::chat::event;

/// What a [`ChatGenerator`] is to produce. Shares are of the chat events, 0..=1, and sum up to at most 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatPlan {
    /// Decides everything that the other fields leave open.
    pub seed: u64,
    /// Streams; the first is the most popular, by Zipf's law. 1..=1,000,000.
    pub streams: u32,
    /// People who write; each is mostly in one or two streams. 1..=100,000,000.
    pub users: u32,
    /// Chat events a second on average; exact over each cycle of four minutes. 0.001..=100,000,000.
    pub rate_per_second: f64,
    /// When the first event happens, milliseconds since the Unix epoch, UTC; 1970-2099.
    pub start_ms: i64,
    /// Events stamped up to `out_of_order_ms_max` before they are written.
    pub out_of_order_share: f64,
    /// See `out_of_order_share`; milliseconds.
    pub out_of_order_ms_max: i64,
    /// Events stamped longer ago than a watermark waits.
    pub late_share: f64,
    /// How long before they are written late events happened, milliseconds.
    pub late_ms: RangeInclusive<i64>,
    /// Records that must become dead letters.
    pub broken_share: f64,
    /// Time between two viewer samples of one stream, milliseconds; 0 for none.
    pub viewer_interval_ms: i64,
}

impl Default for ChatPlan {
    fn default() -> Self {
        Self {
            seed: 1,
            streams: 20,
            users: 50_000,
            rate_per_second: 1_000.0,
            start_ms: 1_735_689_600_000,
            out_of_order_share: 0.02,
            out_of_order_ms_max: 8_000,
            late_share: 0.0,
            late_ms: 120_000..=600_000,
            broken_share: 0.0,
            viewer_interval_ms: 5_000,
        }
    }
}

impl ChatPlan {
    /// Names every field that is out of its range.
    ///
    /// # Errors
    /// One sentence a fault.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let shares = [self.out_of_order_share, self.late_share, self.broken_share];
        let year_2100_ms = 4_102_444_800_000;
        let rules = [
            ((1..=1_000_000).contains(&self.streams), "streams must be 1 to 1,000,000"),
            ((1..=100_000_000).contains(&self.users), "users must be 1 to 100,000,000"),
            ((0.001..=1e8).contains(&self.rate_per_second), "the rate must be 0.001 to 100,000,000 a second"),
            (
                (0..year_2100_ms - 366 * 86_400_000).contains(&self.start_ms),
                "the start must lie in 1970-2098",
            ),
            (shares.iter().all(|share| (0.0..=1.0).contains(share)), "a share must be 0 to 1"),
            (shares.iter().sum::<f64>() <= 1.0, "out of order, late and broken must not exceed 1 together"),
            (self.out_of_order_ms_max >= 1, "events out of order must lie at least a millisecond back"),
            (*self.late_ms.start() >= 0 && !self.late_ms.is_empty(), "late events must lie back in time"),
            (self.viewer_interval_ms >= 0, "the time between viewer samples must not be negative"),
        ];
        let faults: Vec<_> =
            rules.iter().filter(|(holds, _)| !holds).map(|(_, rule)| (*rule).into()).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Which input an item belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A chat event.
    Chat,
    /// A viewer sample.
    Viewer,
}

impl Input {
    /// The input's number: [`event::CHAT`] or [`event::VIEWER`].
    pub fn number(self) -> u8 {
        match self {
            Input::Chat => event::CHAT,
            Input::Viewer => event::VIEWER,
        }
    }
}

/// What a record is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// In order: stamped when it is written.
    Good,
    /// Stamped a little before it is written.
    OutOfOrder,
    /// Stamped longer ago than a watermark waits.
    Late,
    /// Must become a dead letter.
    Broken,
}

/// What was written into the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which input it belongs to.
    pub input: Input,
    /// Number of its stream; a broken record may name another, or none.
    pub stream: u32,
    /// When it is to be written, milliseconds since the Unix epoch; never goes back.
    pub written_ms: i64,
    /// Its event time, milliseconds; `written_ms` for a broken record, whatever its stamp says.
    pub time_ms: i64,
    /// What it is like.
    pub kind: Kind,
    /// The code that a broken record must be refused with.
    pub code: Option<&'static str>,
}

impl Item {
    /// Appends the id of its stream, by which a topic's partitions are chosen.
    #[inline]
    pub fn key(&self, key: &mut Vec<u8>) {
        line::stream(key, self.stream);
    }
}

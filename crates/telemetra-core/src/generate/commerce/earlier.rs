//! Numbers of events that were written, to come again: the latest, and a fair sample of all.

use crate::generate::random::Random;

/// Numbers kept of either.
const KEPT: usize = 1_024;

/// Bounded however long the sequence is.
#[derive(Clone, Debug, Default)]
pub(super) struct Earlier {
    /// A ring.
    latest: Vec<u64>,
    /// Each event ever added is here with the same chance (Vitter, "Random sampling with a reservoir", 1985,
    /// algorithm R).
    sample: Vec<u64>,
    added: u64,
}

impl Earlier {
    pub(super) fn add(&mut self, event: u64, random: &mut Random) {
        if self.latest.len() < KEPT {
            self.latest.push(event);
            self.sample.push(event);
        } else {
            self.latest[self.added as usize % KEPT] = event;
            let place = random.between(0, self.added as i64) as usize;
            if let Some(kept) = self.sample.get_mut(place) {
                *kept = event;
            }
        }
        self.added += 1;
    }

    /// One of the latest, or any; `None` before there is one.
    pub(super) fn pick(&self, random: &mut Random) -> Option<u64> {
        let from = if random.below(2) == 0 { &self.latest } else { &self.sample };
        (!from.is_empty()).then(|| random.pick(from))
    }
}

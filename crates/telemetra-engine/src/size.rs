//! How many records a batch may hold: the user's cap, and a smaller one while the store is too slow for it.
//!
//! ```text
//! cap          500,000   too large   250,000   too large   125,000   10 applied   250,000   10 applied   500,000
//! ```
//! A batch that took too long is never tried again at its size, as long as it can be made smaller.

use crate::limits::{BATCH_RECORDS_MAX, BATCHES_TO_GROW, Rules, TOO_LARGE_RECORDS_MIN};

/// The cap on the records of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSize {
    most: u64,
    reduced: Option<u64>,
    /// Batches with records applied since the cap last changed.
    applied: u32,
}

impl BatchSize {
    /// The cap that the user set, or the engine's.
    pub fn new(rules: &Rules) -> Self {
        Self { most: rules.records_per_trigger.unwrap_or(BATCH_RECORDS_MAX), reduced: None, applied: 0 }
    }

    /// Records that the next batch may hold.
    pub fn records_max(&self) -> u64 {
        self.reduced.unwrap_or(self.most)
    }

    /// The smaller cap, while there is one.
    pub fn reduced(&self) -> Option<u64> {
        self.reduced
    }

    /// Takes in that a batch of `records` took the store too long; `true` if the next one will be smaller.
    pub fn too_large(&mut self, records: u64) -> bool {
        self.applied = 0;
        if records == 0 {
            // What took too long were rows; fewer records would not make them fewer.
            return false;
        }
        let next = (records / 2).max(TOO_LARGE_RECORDS_MIN).min(self.records_max());
        if next < self.most {
            self.reduced = Some(next);
        }
        next < records
    }

    /// Takes in that a batch of `records` was applied.
    pub fn applied(&mut self, records: u64) {
        let Some(reduced) = self.reduced.filter(|_| records > 0) else { return };
        self.applied += 1;
        if self.applied >= BATCHES_TO_GROW {
            self.applied = 0;
            self.reduced = Some(reduced.saturating_mul(2)).filter(|&grown| grown < self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(most: u64) -> BatchSize {
        BatchSize { most, reduced: None, applied: 0 }
    }

    #[track_caller]
    fn check_too_large(most: u64, records: &[u64], expected: u64, is_smaller: bool) {
        let mut size = of(most);
        let last = records.iter().map(|&records| size.too_large(records)).last();
        assert_eq!((size.records_max(), last), (expected, Some(is_smaller)));
    }

    #[test]
    fn too_large_halves_what_the_batch_held_down_to_a_least() {
        check_too_large(500_000, &[500_000], 250_000, true);
        check_too_large(500_000, &[500_000, 250_000], 125_000, true);
        check_too_large(500_000, &[30_000], 15_000, true);
        check_too_large(500_000, &[1_500], 1_000, true);
        check_too_large(500_000, &[1_000], 1_000, false);
        check_too_large(500_000, &[900], 1_000, false);
        check_too_large(300, &[300], 300, false);
        check_too_large(500_000, &[0], 500_000, false);
        // One that was planned before its forerunner was known too large lets nothing grow.
        check_too_large(500_000, &[4_000, 100_000], 2_000, true);
    }

    #[test]
    fn applied_batches_double_it_until_it_is_gone() {
        let mut size = of(3_000);
        size.too_large(2_000);
        let mut seen = Vec::new();
        for batch in 0..30 {
            // Batches without records show nothing.
            size.applied(0);
            size.applied(10);
            if seen.last().is_none_or(|&(_, cap)| cap != size.reduced()) {
                seen.push((batch, size.reduced()));
            }
        }
        assert_eq!(seen, [(0, Some(1_000)), (9, Some(2_000)), (19, None)]);
        assert_eq!(size.records_max(), 3_000);
    }

    #[test]
    fn too_large_starts_the_count_anew() {
        let mut size = of(8_000);
        size.too_large(4_000);
        (0..9).for_each(|_| size.applied(1));
        size.too_large(2_000);
        (0..9).for_each(|_| size.applied(1));
        assert_eq!(size.reduced(), Some(1_000));
    }
}

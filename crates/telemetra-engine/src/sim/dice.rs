//! Chance from a seed. The same seed gives the same numbers on every machine, so a failing run can be had
//! again by its seed alone.

use std::ops::Range;

/// Seeded random numbers: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). Good enough to draw faults with.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as `seed` says.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; 0 if `n` is 0. The bias of the remainder does not matter here.
    pub fn below(&mut self, n: u64) -> u64 {
        let roll = self.roll();
        if n == 0 { 0 } else { roll % n }
    }

    /// A number in `range`, its start if it is empty.
    pub fn within(&mut self, range: Range<i64>) -> i64 {
        let width = u64::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
        range.start + i64::try_from(self.below(width)).expect("less than the width of an i64 range")
    }

    /// True in one of `n` rolls; never if `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).expect("less than a length");
        choices[index]
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Time until the next of events that come independently, `mean` apart on average.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }

    /// Other dice, set by a roll of these.
    pub fn fork(&mut self) -> Dice {
        Dice(self.roll())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_falls_the_same() {
        // The first values of SplitMix64 from seed 0, as its authors' reference gives them.
        let mut dice = Dice::new(0);
        assert_eq!([dice.roll(), dice.roll()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn numbers_stay_in_range() {
        let mut dice = Dice::new(7);
        for _ in 0..1_000 {
            assert!((-3..4).contains(&dice.within(-3..4)));
            assert!(dice.exponential(2.0) >= 0.0);
        }
        assert_eq!((dice.below(0), dice.within(5..5), dice.one_in(0)), (0, 5, false));
        let hits = (0..10_000).filter(|_| dice.one_in(10)).count();
        assert!((800..1_200).contains(&hits), "{hits} of 10,000 rolls hit one in ten");
    }
}

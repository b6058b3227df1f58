//! The fixed-seed 64-bit hash of names.
//!
//! Its value is part of the meaning of a committed `open_digest` and of which emote names a full pane keeps,
//! so seed and function are fixed for good: the same bytes give the same value on every machine.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// Hashes `bytes` to 64 well-mixed bits, the same on every machine and in every run.
#[inline]
pub fn hash64(bytes: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0x7465_6c65_6d65_7472).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// Mixes two 64-bit values into one; not commutative.
#[inline]
pub fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    ((wide >> 64) as u64 ^ wide as u64).wrapping_add(a.rotate_left(23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_fixed_for_good() {
        // A committed digest depends on these numbers.
        assert_eq!(hash64(b"Kappa"), hash64(b"Kappa"));
        assert_ne!(hash64(b"Kappa"), hash64(b"kappa"));
        assert_ne!(mix(1, 2), mix(2, 1));
    }
}

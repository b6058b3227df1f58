//! What a file is known by: XXH3, 128 bits, seed 0, over its decoded bytes.
//!
//! The hex form is part of the ledger (`Segment::fingerprint`), so the function is fixed for good. It tells files
//! apart that differ by accident, not by intent (docs/decisions/0007).

use std::fmt;

use xxhash_rust::xxh3::Xxh3Default;

/// Fingerprint of the decoded bytes `[0, n)` of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// Reads the hex form back; `None` if it is none.
    pub(crate) fn from_hex(hex: &str) -> Option<Fingerprint> {
        let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(hex, 16).ok().map(Fingerprint)).flatten()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Computes fingerprints of growing prefixes.
#[derive(Default)]
pub(crate) struct Fingerprinter(Xxh3Default);

impl Fingerprinter {
    /// Appends bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The fingerprint of all bytes so far; more may follow.
    pub(crate) fn so_far(&self) -> Fingerprint {
        Fingerprint(self.0.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_form_is_fixed_for_good() {
        let mut hash = Fingerprinter::default();
        hash.update(b"abc");
        let hex = hash.so_far().to_string();
        // As the reference implementation prints it (xxhsum -H2).
        assert_eq!(hex, "06b05ab6733a618578af5f94892f3950");
        assert_eq!(Fingerprint::from_hex(&hex), Some(hash.so_far()));
        assert_eq!(Fingerprint::from_hex("6437"), None);
    }
}

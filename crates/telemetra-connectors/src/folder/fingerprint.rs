//! What a file is known by: BLAKE3 over its decoded bytes.
//!
//! The hex form is part of the ledger (`Segment::fingerprint`), so the function is fixed for good.

use std::fmt;

/// Fingerprint of the decoded bytes `[0, n)` of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads the hex form back; `None` if it is none.
    pub(crate) fn from_hex(hex: &str) -> Option<Fingerprint> {
        blake3::Hash::from_hex(hex).ok().map(|hash| Fingerprint(*hash.as_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Computes fingerprints of growing prefixes.
#[derive(Default)]
pub(crate) struct Fingerprinter(blake3::Hasher);

impl Fingerprinter {
    /// Appends bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The fingerprint of all bytes so far; more may follow.
    pub(crate) fn so_far(&self) -> Fingerprint {
        Fingerprint(*self.0.finalize().as_bytes())
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
        // Test vector of the BLAKE3 reference implementation.
        assert_eq!(hex, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert_eq!(Fingerprint::from_hex(&hex), Some(hash.so_far()));
        assert_eq!(Fingerprint::from_hex("6437"), None);
    }
}

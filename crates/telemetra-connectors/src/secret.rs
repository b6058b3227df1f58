//! A secret text: neither its `Debug` nor an error shows it, and its memory is wiped when it is dropped.

use std::fmt;

use zeroize::Zeroize;

/// A password. Only [`Secret::expose`] gives it out, to what sends it to the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` secret from now on; copies made before are the caller's to wipe.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expose_shows_it() {
        let secret = Secret::new("canary");
        assert!(!format!("{secret} {secret:?} {:?}", Some(&secret)).contains("canary"));
        assert_eq!(secret.expose(), "canary");
    }
}

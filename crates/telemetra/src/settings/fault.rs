//! A wrong setting: what is wrong, where it was written, and what to do. All of them make one message.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, without its dashes.
    Flag(String),
    /// An environment variable.
    Env(String),
    /// A key of the settings file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 for the file as a whole.
        line: usize,
        /// The key; empty for a line that has none.
        key: String,
    },
    /// The built-in default of a key.
    Default(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "flag --{name}"),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Origin::File { path, line, key } if key.is_empty() => write!(f, "{}:{line}", path.display()),
            Origin::File { path, line, key } => write!(f, "{}:{line}, key {key}", path.display()),
            Origin::Default(key) => write!(f, "built-in default of {key}"),
        }
    }
}

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub next: String,
}

/// All wrong settings of a start; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "one setting is wrong:")?,
            count => writeln!(f, "{count} settings are wrong:")?,
        }
        for fault in &self.0 {
            writeln!(f, "  {}: {}", fault.origin, fault.what)?;
            writeln!(f, "    {}", fault.next)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

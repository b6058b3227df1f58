//! How a command ends: DESIGN §9's exit codes, and the errors that carry one.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Error = 1,
    /// A setting or flag is wrong.
    Settings = 2,
    /// The ledger does not balance.
    Imbalance = 3,
    /// Going on could make a wrong number: stopped, with the cause and the way on.
    Halted = 4,
    /// Another instance has taken the job over.
    Fenced = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

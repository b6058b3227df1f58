//! What a job computes, as its row names it for good.
//!
//! The pipeline decides which result tables a job has and which clauses of the law speak of it. The invariant: a job
//! never changes its pipeline, nor the length and slide of its windows.

use telemetra_core::window::WindowSpec;
use telemetra_engine::sink::SinkError;

use super::{Row, windows};

/// The pipeline of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipeline {
    /// Windows of streams; they have one length and slide.
    Chat(WindowSpec),
    /// Rows that are unique by their id. There are no windows, and the job row says 0 of them.
    Commerce,
}

impl Pipeline {
    /// The word in the job row.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Pipeline::Chat(_) => "chat",
            Pipeline::Commerce => "commerce",
        }
    }

    /// Its result tables; a table belongs to one job.
    pub(crate) fn tables(self) -> &'static [&'static str] {
        match self {
            Pipeline::Chat(_) => &windows::TABLES,
            Pipeline::Commerce => &["user_events"],
        }
    }

    /// Its windows; `None` where there are none.
    pub(crate) fn window(self) -> Option<WindowSpec> {
        match self {
            Pipeline::Chat(window) => Some(window),
            Pipeline::Commerce => None,
        }
    }

    /// Length and slide in the job row, milliseconds.
    pub(crate) fn lengths_ms(self) -> (i64, i64) {
        self.window().map_or((0, 0), |window| (window.length_ms(), window.slide_ms()))
    }

    /// Reads the pipeline of a job row, of which `name`, `length_ms` and `slide_ms` are the columns from `first` on.
    ///
    /// # Errors
    /// Halts on a pipeline that this program does not know, and on windows that cannot be.
    pub(crate) fn read(row: &Row, first: usize) -> Result<Self, SinkError> {
        match row.text(first)?.as_str() {
            "chat" => {
                let window = WindowSpec::new(row.int(first + 1)?, row.int(first + 2)?);
                window.map(Pipeline::Chat).map_err(SinkError::Halt)
            }
            "commerce" => Ok(Pipeline::Commerce),
            other => Err(SinkError::Halt(format!("a job runs pipeline {other}: use a newer telemetra"))),
        }
    }
}

/// Which table lists the records that a pipeline's rules refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// `dead_letters`.
    DeadLetters,
    /// `rejected_events`, which does not name the input: a job with a quarantine has one.
    Quarantine,
}

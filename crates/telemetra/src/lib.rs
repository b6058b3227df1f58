//! The `telemetra` binary's parts: settings, commands, wiring, terminal, page.
//!
//! | module | owns |
//! |---|---|
//! | `entry`, `exit` | from the command line to an exit code |
//! | `cli` | the command line |
//! | `settings` | what the user decides, validated once |
//! | `commands` | what each command does |
//! | `wiring` | the only place that knows engine, connectors and commands at once |
//! | `process` | what the process has cost |
//! | `snapshot` | what a running job shows of itself |
//! | `terminal`, `logging`, `out` | what people read |
//! | `signals` | how a run is asked to stop |
//! | `http` | the page |
//! | `generate` | events to files |
//! | `quarantine` | refused records outside the store: export, another try |

pub mod cli;
pub mod commands;
pub mod entry;
pub mod exit;
pub mod generate;
pub mod http;
pub mod logging;
pub mod out;
pub mod process;
pub mod quarantine;
pub mod settings;
pub mod signals;
pub mod snapshot;
pub mod terminal;
pub mod wiring;

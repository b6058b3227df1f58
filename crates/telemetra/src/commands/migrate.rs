//! `migrate`: brings the store's tables to this version.

use crate::{exit::Exit, out, settings::Settings, wiring};

/// `migrate`.
///
/// # Errors
/// When the store cannot be brought to this version.
pub fn migrate(settings: &Settings) -> anyhow::Result<Exit> {
    let done = wiring::migrate(settings)?;
    out::line(&format!("store {}", settings.store));
    done.iter().for_each(|line| out::line(line));
    if done.is_empty() {
        out::line("the tables are up to date");
    }
    Ok(Exit::Done)
}

//! `migrate`: brings the store's tables to this version.

use crate::{cli::MigrateArgs, exit::Exit, out, settings::Settings, wiring};

/// `migrate`.
///
/// # Errors
/// When the store cannot be brought to this version. A zone that the server does not know is returned, exit code 2.
pub fn migrate(settings: &Settings, args: &MigrateArgs) -> anyhow::Result<Exit> {
    if args.print_roles {
        out::line(wiring::roles_sql(settings)?.trim_end());
        return Ok(Exit::Done);
    }
    if let Some(fault) = wiring::zone_fault(settings, &args.adopt_timezone)? {
        out::note(&format!("error: {fault}"));
        return Ok(Exit::Settings);
    }
    let done = wiring::migrate(settings, &args.adopt_timezone)?;
    out::line(&format!("store {}", settings.store));
    done.iter().for_each(|line| out::line(line));
    if done.is_empty() {
        out::line("the tables are up to date");
    }
    Ok(Exit::Done)
}

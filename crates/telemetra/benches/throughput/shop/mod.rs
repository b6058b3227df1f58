//! Commerce over folders that are there as a whole, beside the least that PostgreSQL takes for the same rows.
//!
//! | file | owns |
//! |---|---|
//! | `input` | the folders that are read |
//! | `stage` | one stage in a process of its own |
//! | `load` | a load into PostgreSQL, the same rows again, and the floor, in turn |
//! | `floor` | PostgreSQL's own `COPY` of the rows of a load |

mod floor;
mod input;
mod load;
mod stage;

use std::path::Path;

use anyhow::ensure;
use input::{FILES, Folder};
use load::Load;
use stage::Place;

pub(crate) use stage::run;

use crate::{
    Options,
    cost::Outcome,
    in_child,
    store::Servers,
    table::{print_head, print_stage},
};

const READ: &str = "rows: read + split";
const CHECK: &str = "rows: parse + check";
const SQLITE: &str = "rows to SQLite";
const POSTGRES: &str = "rows to PostgreSQL";
const AGAIN: &str = "rows again to PostgreSQL";
const DUPLICATES: &str = "rows with 2 % duplicates to PostgreSQL";

/// The stages, in the order of the table.
pub(crate) const STAGES: [&str; 6] = [READ, CHECK, SQLITE, POSTGRES, AGAIN, DUPLICATES];

/// What a run of stages needs.
struct Bench<'a> {
    servers: &'a Servers,
    scratch: &'a Path,
}

/// Runs the stages that are wanted and prints their table.
pub(crate) fn over_rows(options: &Options, servers: &Servers, scratch: &Path) -> anyhow::Result<()> {
    if options.rows == 0 || !STAGES.into_iter().any(|stage| options.wants(stage)) {
        return Ok(());
    }
    let (bench, count) = (Bench { servers, scratch }, options.rows.max(FILES));
    let new_rows = Folder::new_rows(scratch.join("new-rows"), count)?;
    println!(
        "\n{count} shop events of {} bytes on average; {} worker(s), median of {}",
        new_rows.bytes_per_row()?,
        options.workers,
        options.rounds
    );
    let mut alone: Vec<(&str, Vec<Outcome>)> = [READ, CHECK, SQLITE].map(|stage| (stage, Vec::new())).into();
    alone.retain(|(stage, _)| options.wants(stage));
    let same_rows = options.wants(AGAIN).then(|| Folder::same_rows(scratch.join("same-rows"), count));
    let same_rows = same_rows.transpose()?;
    let doubled = options.wants(DUPLICATES).then(|| Folder::with_duplicates(scratch.join("doubled"), count));
    let doubled = doubled.transpose()?;
    let mut loads = Vec::new();
    if options.wants(POSTGRES) || options.wants(AGAIN) {
        let goal = options.wants(POSTGRES).then_some(1.3);
        loads.push(Load::new(POSTGRES, &new_rows, same_rows.as_ref(), goal));
    }
    loads.extend(doubled.iter().map(|doubled| Load::new(DUPLICATES, doubled, None, Some(1.8))));
    // Round by round, so that what disturbs the machine meets all stages alike.
    for round in 0..options.rounds {
        for (stage, outcomes) in &mut alone {
            outcomes.push(bench.alone(stage, &new_rows)?);
        }
        for load in &mut loads {
            load.round(&bench, round)?;
        }
    }
    print_head("row");
    for (stage, outcomes) in &alone {
        print_stage(stage, outcomes);
    }
    loads.iter().for_each(Load::print);
    Ok(())
}

impl Bench<'_> {
    /// One run of a stage that needs no server.
    fn alone(&self, stage: &str, folder: &Folder) -> anyhow::Result<Outcome> {
        let place = Place::with(folder, self.scratch)?;
        let store = format!("sqlite:{}", place.path().join("store.db").display());
        let outcome = in_child(stage, place.path(), &store)?;
        let accepted = if stage == SQLITE { folder.sums.accepted } else { 0 };
        demand(stage, &outcome, folder, accepted)?;
        Ok(outcome)
    }
}

/// Fails unless all records of `folder` were read, and so many became rows.
fn demand(stage: &str, outcome: &Outcome, folder: &Folder, accepted: u64) -> anyhow::Result<()> {
    let (found, expected) = ((outcome.events, outcome.accepted), (folder.sums.records, accepted));
    ensure!(found == expected, "{stage}: (records, rows) are {found:?}, not {expected:?}");
    Ok(())
}

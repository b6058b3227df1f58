//! A load into an empty database, the same rows again in other files, and the floor of that load, in turn.

use super::{AGAIN, Bench, Folder, Place, demand, floor::Rows, floor::write_out};
use crate::{
    cost::Outcome,
    in_child,
    table::{print_ratio, print_stage, print_wall, tell_wall},
};

/// In the table, below a load.
const FLOOR: &str = "  the floor: COPY of its rows";
/// How many times faster re-delivery is to be.
const AGAIN_GOAL: f64 = 2.5;

/// What is loaded, and what all rounds came to.
pub(super) struct Load<'a> {
    stage: &'static str,
    folder: &'a Folder,
    /// The same rows.
    again: Option<&'a Folder>,
    /// How many times the floor's time it may take; `None` if the floor is not asked for.
    goal: Option<f64>,
    /// Kept in the first round.
    rows: Option<Rows>,
    loads: Vec<Outcome>,
    repeats: Vec<Outcome>,
    floors_s: Vec<f64>,
}

impl<'a> Load<'a> {
    pub(super) fn new(
        stage: &'static str,
        folder: &'a Folder,
        again: Option<&'a Folder>,
        goal: Option<f64>,
    ) -> Self {
        let (loads, repeats, floors_s) = (Vec::new(), Vec::new(), Vec::new());
        Load { stage, folder, again, goal, rows: None, loads, repeats, floors_s }
    }

    /// Loads, and copies before that in every second round.
    pub(super) fn round(&mut self, bench: &Bench<'_>, round: u64) -> anyhow::Result<()> {
        if round.is_multiple_of(2) {
            self.load(bench)?;
            self.copy(bench)
        } else {
            self.copy(bench)?;
            self.load(bench)
        }
    }

    fn load(&mut self, bench: &Bench<'_>) -> anyhow::Result<()> {
        let database = bench.servers.database();
        let place = Place::with(self.folder, bench.scratch)?;
        write_out(&database)?;
        let outcome = in_child(self.stage, place.path(), &database.address())?;
        demand(self.stage, &outcome, self.folder, self.folder.sums.accepted)?;
        self.loads.push(outcome);
        if let Some(again) = self.again {
            place.bring(again)?;
            write_out(&database)?;
            let outcome = in_child(AGAIN, place.path(), &database.address())?;
            demand(AGAIN, &outcome, again, 0)?;
            self.repeats.push(outcome);
        }
        if self.goal.is_some() && self.rows.is_none() {
            self.rows = Some(Rows::keep(&database, self.stage, self.folder.sums.accepted)?);
        }
        Ok(())
    }

    fn copy(&mut self, bench: &Bench<'_>) -> anyhow::Result<()> {
        if let Some(rows) = &self.rows {
            let wall_s = rows.copy(&bench.servers.database(), bench.scratch)?;
            tell_wall(FLOOR, wall_s);
            self.floors_s.push(wall_s);
        }
        Ok(())
    }

    /// Its lines of the table, and how its times compare, round by round.
    pub(super) fn print(&self) {
        let floors = || self.floors_s.iter().copied();
        let loads = || self.loads.iter().map(|outcome| outcome.wall_s);
        let repeats = || self.repeats.iter().map(|outcome| outcome.wall_s);
        print_stage(self.stage, &self.loads);
        print_wall(FLOOR, floors());
        if let Some(goal) = self.goal {
            print_ratio("  load / floor", loads().zip(floors()), &format!("at most {goal}"));
        }
        print_stage(AGAIN, &self.repeats);
        print_ratio("  load / again", loads().zip(repeats()), &format!("at least {AGAIN_GOAL}"));
    }
}

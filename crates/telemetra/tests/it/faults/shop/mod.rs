//! Shop events struck by faults: rows, refusals and files are those of an undisturbed run and the generator's own sums.
//!
//! ```text
//! input ──► undisturbed run on SQLite ─────────────────► found
//!    └────► run that is killed, or whose store goes away ──► the same, an audit that balances
//! ```
//! | file | owns |
//! |---|---|
//! | `found` | what a run has left: rows, refusals, exports, moved files, log |
//! | `kills` | `kill -9` at random and at chosen moments, on both stores |
//! | `outage` | PostgreSQL stopped in mid-load and started again |
//!
//! Files are hard links to one input: so a file that was moved is known to be the very same.

mod found;
mod kills;
mod outage;

use std::{fs, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;
use telemetra_services::postgres::Database;

use super::{asking::Asking, variable};
use crate::support::Telemetra;

/// How the parts of the input are written, one after the other in event time.
const PARTS: [&str; 4] = ["none", "gz", "zst", "none"];
/// Files of a part, or one more.
const FILES: u64 = 10;

/// What must become of an input, as the generator says.
#[derive(Clone, Copy, Default, Debug, Deserialize)]
struct Sums {
    records: u64,
    accepted: u64,
    duplicates: u64,
    conflicts: u64,
    invalid: u64,
    cents: i64,
}

/// A folder `input` of files, made once.
struct Input {
    telemetra: Telemetra,
    sums: Sums,
}

impl Input {
    /// `records` in all, 3 % of them invalid, 2 % duplicates, some conflicts.
    fn new(records: u64) -> Self {
        let telemetra = Telemetra::new();
        let mut sums = Sums::default();
        let count = records / PARTS.len() as u64;
        for (part, compress) in PARTS.iter().enumerate() {
            let flags = format!(
                "generate commerce --count {count} --events-per-second {} --rotate 60 --seed {} --invalid 0.03 \
                 --duplicate 0.02 --conflict 0.005 --start 2025-01-0{}T00:00:00Z --compress {compress} \
                 --output input --sums sums.json",
                count.div_ceil(FILES * 60),
                part + 1,
                part + 1,
            );
            telemetra.run(&flags.split_whitespace().collect::<Vec<_>>()).expect_code(0);
            let text = fs::read_to_string(telemetra.path().join("sums.json")).expect("the sums are there");
            let part: Sums = serde_json::from_str(&text).expect("they are sums");
            sums.records += part.records;
            sums.accepted += part.accepted;
            sums.duplicates += part.duplicates;
            sums.conflicts += part.conflicts;
            sums.invalid += part.invalid;
            sums.cents += part.cents;
        }
        Self { telemetra, sums }
    }

    fn folder(&self) -> PathBuf {
        self.telemetra.path().join("input")
    }
}

/// A store, and the default folders of a run with all files of an input in `data/raw`.
struct Shop<'a> {
    input: &'a Input,
    telemetra: Telemetra,
    database: Option<Database<'a>>,
    /// Asks the store beside the run.
    asking: Asking,
}

impl<'a> Shop<'a> {
    fn new(input: &'a Input, database: Option<Database<'a>>) -> Self {
        let telemetra = Telemetra::new();
        let raw = telemetra.path().join("data/raw");
        fs::create_dir_all(&raw).expect("a folder");
        for entry in fs::read_dir(input.folder()).expect("the input is there") {
            let entry = entry.expect("an entry");
            fs::hard_link(entry.path(), raw.join(entry.file_name())).expect("both are in one file system");
        }
        Self { input, telemetra, database, asking: Asking::default() }
    }

    /// Runs to the end as nothing was said of batches, undisturbed, and returns the report.
    fn run_undisturbed(&self) -> Value {
        let flags = "run commerce --once --json --arrival rename".split(' ').map(str::to_owned);
        let run = self.telemetra.run(&flags.chain(self.store_args()).collect::<Vec<_>>());
        run.expect_code(0);
        serde_json::from_str(&run.stdout()).expect("a report")
    }

    /// Arguments of a run to the end of the input, in batches of `batch` records.
    fn once(&self, batch: u64) -> Vec<String> {
        let flags =
            "run commerce --once --arrival rename --retry-delay-seconds 0.1 --max-records-per-trigger";
        let words = flags.split(' ').map(str::to_owned).chain([batch.to_string()]);
        words.chain(self.store_args()).collect()
    }

    fn store_args(&self) -> Vec<String> {
        self.database.iter().flat_map(|it| ["--store".to_owned(), it.address()]).collect()
    }

    /// The first record that is not committed; 0 as long as the store cannot be asked.
    fn next_offset(&self) -> u64 {
        let sql = "SELECT max(next_offset) FROM telemetra.position";
        self.asking.number(&self.telemetra, self.database.as_ref(), sql)
    }
}

//! A store asked for numbers beside the runs that fill it, by one connection as long as it is good.

use std::cell::RefCell;

use rusqlite::{Connection, OpenFlags};
use telemetra_services::postgres::{Database, connect};

use crate::support::Telemetra;

/// Asks a store; forgets its connection when that fails.
#[derive(Default)]
pub(super) struct Asking(RefCell<Option<Asked>>);

enum Asked {
    Sqlite(Connection),
    Postgres(Box<postgres::Client>),
}

impl Asking {
    /// The number that a query comes to, ledger tables by their PostgreSQL names; 0 as long as the store cannot be asked.
    pub(super) fn number(&self, telemetra: &Telemetra, database: Option<&Database>, sql: &str) -> u64 {
        let mut asking = self.0.borrow_mut();
        let found = asking.take().or_else(|| begin(telemetra, database)).and_then(|mut asked| {
            let number: Option<i64> = match &mut asked {
                Asked::Sqlite(db) => {
                    db.query_row(&sql.replace("telemetra.", "telemetra_"), [], |row| row.get(0)).ok()
                }
                Asked::Postgres(client) => client.query_one(sql, &[]).ok().map(|row| row.get(0)),
            }?;
            *asking = Some(asked);
            Some(number)
        });
        found.flatten().map_or(0, |number: i64| u64::try_from(number).expect("it is not negative"))
    }
}

fn begin(telemetra: &Telemetra, database: Option<&Database>) -> Option<Asked> {
    match database {
        Some(database) => Some(Asked::Postgres(Box::new(connect(&database.address()).ok()?))),
        None => {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
            Some(Asked::Sqlite(Connection::open_with_flags(telemetra.store(), flags).ok()?))
        }
    }
}

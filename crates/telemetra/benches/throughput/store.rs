//! The stores that stages write to, each fresh for one run of one stage and gone after it.
//!
//! PostgreSQL is a real server with its own defaults, started here in the parent, so that a stage's CPU time is
//! telemetra's alone.

use std::{cell::OnceCell, path::Path};

use anyhow::Context;
use telemetra_services::postgres::{Database, Postgres, Setup};

/// What commits cost is part of the figures: they reach the disk. The memory is what a server has by default.
const SETUP: Setup = Setup { fsync: true, settings: &[("shared_buffers", "128MB")], files: &[] };

/// The server, started when a stage needs it.
#[derive(Default)]
pub(crate) struct Servers {
    postgres: OnceCell<Postgres>,
}

/// Where one run of one stage writes.
pub(crate) enum Store<'a> {
    /// A file that is not there yet; its address.
    Sqlite(String),
    /// An empty database, dropped with this.
    Postgres(Database<'a>),
}

impl Servers {
    /// A fresh store for a stage, which says in its name which one it wants; those before any store get one too.
    pub(crate) fn store(&self, stage: &str, folder: &Path, round: u64) -> anyhow::Result<Store<'_>> {
        if stage.ends_with("PostgreSQL") {
            return Ok(Store::Postgres(self.database()));
        }
        let folder = folder.to_str().context("a plain path")?;
        Ok(Store::Sqlite(format!("sqlite:{folder}-{}-{round}.db", stage.replace(' ', "-"))))
    }

    /// An empty database on the server.
    pub(crate) fn database(&self) -> Database<'_> {
        self.postgres.get_or_init(|| Postgres::start(SETUP)).create_database()
    }
}

impl Store<'_> {
    /// As `--store` takes it.
    pub(crate) fn address(&self) -> String {
        match self {
            Store::Sqlite(address) => address.clone(),
            Store::Postgres(database) => database.address(),
        }
    }
}

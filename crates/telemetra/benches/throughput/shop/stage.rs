//! One stage over shop events, in a process of its own, and the place that it works in.

use std::path::{Path, PathBuf};

use anyhow::Context;
use telemetra::{commands::run::Pipeline, settings::Settings};
use telemetra_connectors::folder::{CsvRules, Format};
use telemetra_core::commerce;
use tempfile::TempDir;

use super::{CHECK, READ, input::Folder};
use crate::{
    cost::Outcome,
    stages::{decode_all, read_all, to_store},
};

/// Below a place: what is to be read. What was read, refused or logged lies beside it.
const INCOMING: &str = "incoming";

/// A folder of one run's own, removed with this.
pub(super) struct Place(TempDir);

impl Place {
    /// A place at which the files of `folder` have come in.
    pub(super) fn with(folder: &Folder, scratch: &Path) -> anyhow::Result<Place> {
        let place = Place(tempfile::tempdir_in(scratch)?);
        place.bring(folder)?;
        Ok(place)
    }

    /// Lets the files of another folder come in.
    pub(super) fn bring(&self, folder: &Folder) -> anyhow::Result<()> {
        folder.link(&self.path().join(INCOMING))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Runs one stage over what has come in at `place`.
pub(crate) fn run(stage: &str, place: &Path, store: &str, workers: u64) -> anyhow::Result<Outcome> {
    let settings = settings(place, store, workers)?;
    let rules = CsvRules { check_head: commerce::check_head, other_columns: commerce::other_columns };
    let (incoming, format) = (place.join(INCOMING), Format::Csv(rules));
    match stage {
        READ => read_all(&incoming, format),
        CHECK => decode_all(&settings.commerce_logic(), &incoming, format),
        _ => to_store(&settings, Pipeline::Commerce),
    }
}

/// Settings as `run commerce` has them.
pub(super) fn settings(place: &Path, store: &str, workers: u64) -> anyhow::Result<Settings> {
    use clap::Parser;
    use telemetra::{
        cli::{Cli, Command, RunPipeline},
        settings::{Layers, Purpose},
    };
    let mut line: Vec<PathBuf> =
        ["telemetra", "run", "commerce", "--arrival", "rename"].map(PathBuf::from).into();
    let folders = [
        ("--input-dir", INCOMING),
        ("--processed-dir", "processed"),
        ("--error-dir", "error"),
        ("--log-dir", "logs"),
    ];
    for (flag, name) in folders {
        line.extend([flag.into(), place.join(name)]);
    }
    line.extend(["--store".into(), store.into(), "--workers".into(), workers.to_string().into()]);
    let Command::Run { pipeline: RunPipeline::Commerce(args) } = Cli::try_parse_from(line)?.command else {
        anyhow::bail!("not a run");
    };
    let layers = Layers { flags: args.settings.0, ..Layers::default() };
    Settings::load(&layers, Purpose::Commerce).context("settings of the bench")
}

//! Folders of shop events: new rows, the same rows in other files, rows of which some come twice.
//!
//! A run moves its files away, so each run gets links to them in a place of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use telemetra::{cli::Compress, generate::shop::ShopFeed};
use telemetra_core::generate::{CommercePlan, CommerceSums};

/// Files of a folder.
pub(super) const FILES: u64 = 250;
/// Files of the folder with the same rows.
const OTHER_FILES: u64 = 199;
/// Records of an event that was written before.
const DUPLICATE_SHARE: f64 = 0.02;
/// Records a second of event time.
const RATE: u64 = 10_000;

/// A folder that is written once and never changed.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// What must become of its records.
    pub(super) sums: CommerceSums,
}

impl Folder {
    /// So many records, all of them new.
    pub(super) fn new_rows(path: PathBuf, records: u64) -> anyhow::Result<Folder> {
        write(path, records, FILES, &CommercePlan::default())
    }

    /// The records of [`Folder::new_rows`] in other files of other names.
    pub(super) fn same_rows(path: PathBuf, records: u64) -> anyhow::Result<Folder> {
        let folder = write(path, records, OTHER_FILES, &CommercePlan::default())?;
        for entry in fs::read_dir(&folder.path)? {
            let entry = entry?;
            let mut name = std::ffi::OsString::from("again-");
            name.push(entry.file_name());
            fs::rename(entry.path(), folder.path.join(name))?;
        }
        Ok(folder)
    }

    /// So many records, some of which were there before.
    pub(super) fn with_duplicates(path: PathBuf, records: u64) -> anyhow::Result<Folder> {
        let plan = CommercePlan { duplicate_share: DUPLICATE_SHARE, ..CommercePlan::default() };
        write(path, records, FILES, &plan)
    }

    /// Links its files into the folder `to`, which is made if it is not there.
    pub(super) fn link(&self, to: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            fs::hard_link(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// Bytes of a line with its end, on average; heads are left out of account.
    pub(super) fn bytes_per_row(&self) -> anyhow::Result<u64> {
        let sizes = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.metadata()?.len()));
        Ok(sizes.sum::<anyhow::Result<u64>>()? / self.sums.records)
    }
}

fn write(path: PathBuf, records: u64, files: u64, plan: &CommercePlan) -> anyhow::Result<Folder> {
    let rotate_ms = i64::try_from(records * 1_000 / (RATE * files))?.max(1);
    let plan = CommercePlan { events_per_second: RATE as f64, ..plan.clone() };
    let mut feed = ShopFeed::new(&path, plan, rotate_ms, Compress::None)?;
    feed.write_until(i64::MAX, records)?;
    feed.complete()?;
    Ok(Folder { path, sums: *feed.sums() })
}

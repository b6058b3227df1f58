//! A thread that exports what batches put into quarantine, beside the run and never in its way.
//!
//! It is woken after commits, tries again what failed, and is waited for at the end. What it could not write stays
//! in the store as not exported: the next start goes on with it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use telemetra_connectors::{Quarantine, StoreReader, Wanted};

use super::export::export;

/// How long after a failure it is tried again, unless a commit comes before.
const RETRY: Duration = Duration::from_secs(30);
/// Batches asked for at once.
const BATCHES: usize = 100;
/// Records asked for at once; their bytes are bounded too.
const RECORDS: usize = 10_000;

/// A store's reader, and its quarantine for writing.
pub type Opened = (StoreReader, Quarantine);

/// The thread, as the run holds it; dropped, it waits for the last exports.
#[derive(Debug)]
pub struct Exporter {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts with what is pending of `job`. `open` opens the store anew, after a failure again.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        folder: PathBuf,
        job: String,
        open: impl Fn() -> anyhow::Result<Opened> + Send + 'static,
    ) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let run = move || follow(&woken, || export_pending(&folder, &job, &open));
        let thread = Builder::new().name("export".into()).spawn(run)?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// Something was committed. Never waits.
    pub fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full, it will look anyway.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the export of refused records broke off; they are in rejected_events");
        }
    }
}

/// Exports at once, whenever it is woken, and a last time when nobody can wake it any more.
fn follow(woken: &Receiver<()>, mut export: impl FnMut() -> anyhow::Result<()>) {
    let mut said = String::new();
    let mut is_last = false;
    loop {
        let mut is_failing = false;
        match export() {
            Ok(()) => said.clear(),
            Err(error) => {
                is_failing = true;
                let cause = format!("{error:#}");
                if cause != said {
                    tracing::warn!(
                        "refused records could not be exported: {cause}; they are safe in rejected_events, \
                         the export is tried again"
                    );
                    said = cause;
                }
            }
        }
        if is_last {
            return;
        }
        is_last = match is_failing {
            false => woken.recv().is_err(),
            true => woken.recv_timeout(RETRY) == Err(RecvTimeoutError::Disconnected),
        };
    }
}

fn export_pending(
    folder: &Path,
    job: &str,
    open: &impl Fn() -> anyhow::Result<Opened>,
) -> anyhow::Result<()> {
    let (mut reader, mut quarantine) = open()?;
    loop {
        let batches = reader.exports_pending(job, BATCHES)?;
        if batches.is_empty() {
            return Ok(());
        }
        for batch_id in batches {
            export(folder, |after| {
                let wanted = Wanted { batch_id: Some(batch_id), after, limit: RECORDS, ..Wanted::default() };
                Ok(reader.rejected(job, &wanted)?)
            })?;
            quarantine.mark_exported(job, batch_id)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_exports_at_the_start_after_each_wake_and_at_the_end_and_a_failure_ends_nothing() {
        let (wake, woken) = sync_channel(2);
        wake.send(()).expect("there is room");
        wake.send(()).expect("there is room");
        drop(wake);
        let mut times = 0;
        follow(&woken, || {
            times += 1;
            if times == 2 { Err(anyhow::anyhow!("no space")) } else { Ok(()) }
        });
        assert_eq!(times, 4);
    }
}

//! The folder that the stages read: generated chat, the same bytes on every machine.

use std::{fs, path::Path};

use telemetra::{cli::Compress, generate::feed::Feed};
use telemetra_core::generate::ChatPlan;

/// Streams that people write in.
pub(crate) const STREAMS: u32 = 20;
/// People who write.
pub(crate) const USERS: u32 = 50_000;
/// Events a second of event time.
pub(crate) const RATE: u64 = 10_000;

/// What is written to folders; to topics from another instant on.
pub(crate) fn plan() -> ChatPlan {
    ChatPlan {
        seed: 1,
        streams: STREAMS,
        users: USERS,
        rate_per_second: RATE as f64,
        out_of_order_share: 0.02,
        viewer_interval_ms: 0,
        ..ChatPlan::default()
    }
}

/// Writes `events` chat events to about `files` files in `folder/chat`; returns their bytes.
pub(crate) fn write(folder: &Path, events: u64, files: u64) -> anyhow::Result<u64> {
    let rotate_ms = i64::try_from(events * 1_000 / (RATE * files))?.max(1);
    let mut feed = Feed::new(folder, plan(), rotate_ms, Compress::None)?;
    feed.write_until(i64::MAX, events)?;
    feed.complete()?;
    let sizes = fs::read_dir(folder.join("chat"))?.map(|entry| Ok(entry?.metadata()?.len()));
    sizes.sum()
}

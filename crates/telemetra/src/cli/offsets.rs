//! The command line of `offsets`.

use clap::{Subcommand, ValueEnum};
use telemetra_connectors::kafka::Skip;

use crate::settings::flags::{ChatFlags, CommerceFlags};

/// What can be done with offsets; each with the settings of the run.
#[derive(Debug, Subcommand)]
pub enum OffsetsAction {
    /// Show what was read, what the brokers hold, and what keeps the job from going on
    Show {
        /// Of which pipeline.
        #[command(subcommand)]
        pipeline: OffsetsPipeline,
        /// Print as JSON
        #[arg(long, global = true)]
        json: bool,
    },
    /// Go on with topics that were made anew, or that lost records when a leader changed
    Reset {
        /// Of which pipeline.
        #[command(subcommand)]
        pipeline: OffsetsPipeline,
        /// Where to begin in a topic that was made anew
        #[arg(long, value_enum, default_value_t = ResetTo::Earliest, global = true)]
        to: ResetTo,
    },
    /// Record offsets that the brokers no longer hold, and go on behind them
    SkipGap {
        /// Of which pipeline.
        #[command(subcommand)]
        pipeline: OffsetsPipeline,
        /// Leave out these, which are there: those of a batch that cannot be read
        #[arg(long, value_name = "TOPIC:PARTITION=FROM..TO", value_parser = skip, global = true)]
        offsets: Option<Skip>,
    },
}

/// `TOPIC:PARTITION=FROM..TO`.
fn skip(text: &str) -> Result<Skip, String> {
    let read = || {
        let (place, offsets) = text.split_once('=')?;
        let (topic, partition) = place.rsplit_once(':')?;
        let (from, to) = offsets.split_once("..")?;
        let offsets = from.parse().ok()?..to.parse().ok()?;
        let skip = Skip { topic: topic.to_owned(), partition: partition.parse().ok()?, offsets };
        (!skip.topic.is_empty() && !skip.offsets.is_empty()).then_some(skip)
    };
    read()
        .ok_or_else(|| "write TOPIC:PARTITION=FROM..TO, TO being the first offset that is read again".into())
}

/// Pipelines that read topics.
#[derive(Debug, Subcommand)]
pub enum OffsetsPipeline {
    /// Chat and viewer events
    Chat {
        /// Settings.
        #[command(flatten)]
        settings: ChatFlags,
    },
    /// Shop events
    Commerce {
        /// Settings.
        #[command(flatten)]
        settings: CommerceFlags,
    },
}

/// Where a topic that was made anew is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResetTo {
    /// At its first record.
    Earliest,
    /// Behind its last record.
    Latest,
}

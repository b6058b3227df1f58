//! The command line. Settings come from the table of [`crate::settings::spec`]; here stand the commands and
//! what only they know.

mod offsets;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use offsets::{OffsetsAction, OffsetsPipeline, ResetTo};

use crate::settings::flags::{ChatFlags, ChatOutFlags, CommerceFlags, DemoFlags, ShopOutFlags, StoreFlags};

/// Live-stream chat events in, exact tables out.
#[derive(Debug, Parser)]
#[command(name = "telemetra", version, about, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Settings file [env: TELEMETRA_CONFIG] [default: telemetra.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it all working: generated chat, windows, moments, a page; nothing to install
    Demo(DemoArgs),
    /// Run a pipeline
    Run {
        /// Which.
        #[command(subcommand)]
        pipeline: RunPipeline,
    },
    /// Write generated events
    Generate {
        /// Of which pipeline.
        #[command(subcommand)]
        pipeline: GeneratePipeline,
    },
    /// Look at settings, store, folders and a sample of the input: what would be accepted and refused, and why
    Check(CheckCommand),
    /// Bring the store's tables to this version
    Migrate(MigrateArgs),
    /// Show how the jobs stand: watermark and who holds it, positions, windows
    Status(StatusArgs),
    /// Prove that every record read is accounted for
    Audit(StatusArgs),
    /// Where a job stands in its Kafka topics, and the ways on from what halts it there
    Offsets {
        /// What to do.
        #[command(subcommand)]
        action: OffsetsAction,
    },
    /// Refused records of the commerce pipeline
    Quarantine {
        /// What to do with them.
        #[command(subcommand)]
        action: QuarantineAction,
    },
}

/// What can be done with refused records.
#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// Show them
    List(QuarantineArgs),
    /// Try those again that no replay has made a row of, each at most once
    Replay(QuarantineArgs),
}

/// `quarantine list` and `quarantine replay`.
#[derive(Debug, Args)]
pub struct QuarantineArgs {
    /// Only those with this code: price_range; missing_field means that of any field
    #[arg(long)]
    pub code: Option<String>,
    /// Only those of this file
    #[arg(long, value_name = "NAME")]
    pub file: Option<String>,
    /// Only those refused at or after this, such as 2025-01-01T00:00:00Z
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<String>,
    /// Only those refused before this
    #[arg(long, value_name = "INSTANT")]
    pub to: Option<String>,
    /// Most records; a list has 100 by default, a replay tries all
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print as JSON; a list has one line a record
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: StoreFlags,
}

/// Pipelines that run.
#[derive(Debug, Subcommand)]
pub enum RunPipeline {
    /// Chat and viewer events to windows and moments
    Chat(RunArgs),
    /// Shop events to unique, checked rows
    Commerce(RunCommerceArgs),
}

/// Pipelines that have a generator.
#[derive(Debug, Subcommand)]
pub enum GeneratePipeline {
    /// Realistic chat with emotes, bursts and raids
    Chat(GenerateArgs),
    /// Shop events as CSV, or to Kafka as JSON, with the exact sums that a run over them must come to
    Commerce(GenerateCommerceArgs),
}

/// `run chat`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Read to the end of the input as it is now, print a report and leave
    #[arg(long)]
    pub once: bool,
    /// With --once: take the input as complete and close every window
    #[arg(long, requires = "once")]
    pub drain: bool,
    /// With --once: print the report as JSON
    #[arg(long, requires = "once")]
    pub json: bool,
    /// Go on with settings that change what numbers mean, by closing every open window early
    #[arg(long)]
    pub accept_changed_meaning: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: ChatFlags,
}

/// `run commerce`.
#[derive(Debug, Args)]
pub struct RunCommerceArgs {
    /// Read to the end of the input as it is now, print a report and leave
    #[arg(long)]
    pub once: bool,
    /// With --once: print the report as JSON
    #[arg(long, requires = "once")]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: CommerceFlags,
}

/// `check`; without a pipeline it is chat's.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CheckCommand {
    /// Of which pipeline.
    #[command(subcommand)]
    pub pipeline: Option<CheckPipeline>,
    /// As of `check chat`.
    #[command(flatten)]
    pub chat: CheckArgs,
}

/// Pipelines whose input is looked at.
#[derive(Debug, Subcommand)]
pub enum CheckPipeline {
    /// Chat and viewer events; the same without this word
    Chat(CheckArgs),
    /// Shop events, and the folders they move to
    Commerce(CheckCommerceArgs),
}

/// `check commerce`.
#[derive(Debug, Args)]
pub struct CheckCommerceArgs {
    /// Records to look at from the beginning of the input
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub sample: u64,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: CommerceFlags,
}

/// `check chat`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Records to look at from the beginning of each input
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub sample: u64,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: ChatFlags,
}

/// `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Print SQL that makes least-privilege roles (ingest, migrate, read), and do nothing else; PostgreSQL only
    #[arg(long)]
    pub print_roles: bool,
    /// Time zone in which the old job wrote its instants, when its tables are adopted; PostgreSQL only
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub adopt_timezone: String,
    /// Settings.
    #[command(flatten)]
    pub settings: StoreFlags,
}

/// Commands that read the store and print.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: StoreFlags,
}

/// `generate chat`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Streams; the first is the most popular
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub streams: u32,
    /// People who write
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub users: u32,
    /// Chat events a second on average
    #[arg(long, default_value_t = 1_000.0)]
    pub rate: f64,
    /// How much event time to write, such as `10 minutes`
    #[arg(long, value_name = "TIME", conflicts_with = "count")]
    pub duration: Option<String>,
    /// How many chat events to write
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// The same seed gives the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Share of events stamped up to 8 seconds before they are written
    #[arg(long, default_value_t = 0.02, value_name = "SHARE")]
    pub out_of_order: f64,
    /// Share of events that come too late
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub late: f64,
    /// Share of records that must become dead letters
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub broken: f64,
    /// Folder to write to (`chat/` and `viewer/` below it), or `-` for stdout; --kafka writes to Kafka instead
    #[arg(long, short, default_value = "-", value_name = "DIR|-", conflicts_with = "kafka")]
    pub output: String,
    /// Which events go to stdout
    #[arg(long, value_enum, default_value_t = StdoutKind::Chat)]
    pub kind: StdoutKind,
    /// When the first event happens, such as 2025-01-01T00:00:00Z; with --live: now; with --kafka: so that the last one happens now
    #[arg(long, value_name = "INSTANT")]
    pub start: Option<String>,
    /// Write at the pace of the clock, until stopped if neither --duration nor --count is given
    #[arg(long)]
    pub live: bool,
    /// Seconds of event time in one file
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub rotate: u32,
    /// How files are compressed
    #[arg(long, value_enum, default_value_t = Compress::None, conflicts_with = "kafka")]
    pub compress: Compress,
    /// With --kafka.
    #[command(flatten)]
    pub topics: TopicArgs,
    /// Settings.
    #[command(flatten)]
    pub settings: ChatOutFlags,
}

/// `generate commerce`.
#[derive(Debug, Args)]
pub struct GenerateCommerceArgs {
    /// Records a second, exactly
    #[arg(long, default_value_t = 100.0, value_name = "RATE")]
    pub events_per_second: f64,
    /// How much event time to write, such as `10 minutes`
    #[arg(long, value_name = "TIME", conflicts_with = "count")]
    pub duration: Option<String>,
    /// How many records to write
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// The same seed gives the same records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Share of records that break a rule
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub invalid: f64,
    /// Share of records whose event came before, with the same payload
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub duplicate: f64,
    /// Share of records whose event came before, with another payload
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub conflict: f64,
    /// Folder to write to, or `-` for stdout; --kafka writes JSON to Kafka instead
    #[arg(long, short, default_value = "-", value_name = "DIR|-", conflicts_with = "kafka")]
    pub output: String,
    /// File for the sums as JSON
    #[arg(long, value_name = "FILE")]
    pub sums: Option<PathBuf>,
    /// When the first event happens, such as 2025-01-01T00:00:00Z; with --live: now; with --kafka: so that the last one happens now
    #[arg(long, value_name = "INSTANT")]
    pub start: Option<String>,
    /// Write at the pace of the clock, until stopped if neither --duration nor --count is given
    #[arg(long)]
    pub live: bool,
    /// Seconds of event time in one file
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub rotate: u32,
    /// How files are compressed
    #[arg(long, value_enum, default_value_t = Compress::None, conflicts_with = "kafka")]
    pub compress: Compress,
    /// With --kafka.
    #[command(flatten)]
    pub topics: TopicArgs,
    /// Settings.
    #[command(flatten)]
    pub settings: ShopOutFlags,
}

/// How topics are made that are written to and not there yet.
#[derive(Clone, Copy, Debug, Args)]
pub struct TopicArgs {
    /// With --kafka: partitions of a topic that is made
    #[arg(long, default_value_t = 4, value_name = "N", requires = "kafka", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,
    /// With --kafka: brokers that keep each partition of a topic that is made; the cluster's default if it is not given
    #[arg(long, value_name = "N", requires = "kafka", value_parser = clap::value_parser!(i16).range(1..))]
    pub replication: Option<i16>,
    /// With --kafka: how batches are compressed
    #[arg(long, value_enum, default_value_t = BatchCodec::None, requires = "kafka")]
    pub codec: BatchCodec,
}

/// Which events go to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StdoutKind {
    /// Chat events.
    Chat,
    /// Viewer events.
    Viewer,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compress {
    /// Plain text.
    None,
    /// gzip.
    Gz,
    /// Zstandard.
    Zst,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BatchCodec {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the generated events and, unless --store names another place, the store
    #[arg(long, default_value = "telemetra-demo", value_name = "DIR")]
    pub dir: PathBuf,
    /// Chat events a second on average
    #[arg(long, default_value_t = 150.0)]
    pub rate: f64,
    /// Streams
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub streams: u32,
    /// Settings.
    #[command(flatten)]
    pub settings: DemoFlags,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_of_run() {
        let line = "telemetra run chat --chat-dir in --max-records-per-trigger 7 --once --drain --window-duration 2m";
        let cli = Cli::try_parse_from(line.split(' ')).expect("a valid command line");
        let Command::Run { pipeline: RunPipeline::Chat(args) } = cli.command else { panic!("not run chat") };
        assert!(args.once && args.drain);
        assert_eq!(args.settings.0.len(), 3);
        assert!(args.settings.0.contains(&("max_records_per_trigger", "7".into())));
    }

    #[test]
    fn unknown_flags_and_drain_without_once_are_refused() {
        for line in
            ["telemetra run chat --kitchen 1", "telemetra run chat --drain", "telemetra status --chat-dir x"]
        {
            assert_eq!(Cli::try_parse_from(line.split(' ')).expect_err("refused").exit_code(), 2, "{line}");
        }
    }
}

//! Folders as the input of a pipeline, and what they have to say beside their records.

use telemetra_connectors::folder::{
    self, CsvRules, FolderInput, FolderOptions, FolderSource, Format, Reporter,
};
use telemetra_core::{chat::event, commerce};
use telemetra_engine::limits::BATCH_RECORDS_MAX;

use super::Told;
use crate::{
    commands::{meter::InputNow, run_loop::Ahead},
    settings::{Arrival, FolderOrder, Inputs, Settings},
    snapshot::{Files, Unmoved},
};

/// Records indexed ahead beyond two batches.
const AHEAD_MARGIN_RECORDS: u64 = 10_000;

/// Chat's folders as a source.
pub(super) fn chat_source(settings: &Settings, once: bool) -> FolderSource {
    FolderSource::new(chat_inputs(settings), chat_options(settings, once))
}

/// The folder of shop events as a source, which moves files away that are done.
pub(super) fn shop_source(settings: &Settings, once: bool, records_per_trigger: Option<u64>) -> FolderSource {
    let options = FolderOptions {
        processed: Some(settings.commerce.processed_dir.clone()),
        ahead_records: ahead_records(records_per_trigger),
        ..shop_options(settings, once)
    };
    FolderSource::new(shop_inputs(settings), options)
}

/// The folders by number of the input, which is also what records are decoded as: one that is not named keeps
/// its number.
pub(super) fn chat_inputs(settings: &Settings) -> Vec<FolderInput> {
    const { assert!(event::CHAT == 0 && event::VIEWER == 1) };
    let Inputs { chat_dir, viewer_dir, .. } = &settings.inputs;
    let named = [("chat", chat_dir), ("viewer", viewer_dir)];
    named.map(|(name, path)| FolderInput { name, path: path.clone() }).into()
}

/// The folder of shop events.
pub(super) fn shop_inputs(settings: &Settings) -> Vec<FolderInput> {
    vec![FolderInput { name: "commerce", path: Some(settings.commerce.input_dir.clone()) }]
}

pub(super) fn shop_options(settings: &Settings, once: bool) -> FolderOptions {
    let rules = CsvRules { check_head: commerce::check_head, other_columns: commerce::other_columns };
    let (format, order) = (Format::Csv(rules), folder::FolderOrder::Name);
    FolderOptions { format, order, ..chat_options(settings, once) }
}

pub(super) fn chat_options(settings: &Settings, once: bool) -> FolderOptions {
    let inputs = &settings.inputs;
    FolderOptions {
        arrival: match inputs.arrival {
            Arrival::Settle => folder::Arrival::Settle,
            Arrival::Rename => folder::Arrival::Rename,
        },
        order: match inputs.order {
            FolderOrder::Name => folder::FolderOrder::Name,
            FolderOrder::EventTime => folder::FolderOrder::EventTime,
        },
        once,
        ahead_records: ahead_records(settings.flow.records_per_trigger),
        threads: settings.flow.workers,
        ..FolderOptions::default()
    }
}

/// One batch is in flight while the next one is planned: neither may see the end of what is indexed.
fn ahead_records(records_per_trigger: Option<u64>) -> u64 {
    let batch_records = records_per_trigger.unwrap_or(BATCH_RECORDS_MAX);
    batch_records.saturating_mul(2).saturating_add(AHEAD_MARGIN_RECORDS)
}

/// What folders have to say.
pub(super) fn told(reporter: Reporter) -> Told {
    let of_all = reporter.clone();
    let ahead = move || {
        let report = reporter.report();
        let others = report.warnings.len().saturating_sub(1);
        match (report.unsettled.into_iter().next(), report.warnings.into_iter().next()) {
            (Some(file), _) => Ahead::Unsettled(file),
            (None, _) if report.files_ahead > 0 => Ahead::Coming,
            (None, Some(first)) if others == 0 => Ahead::Unreadable(first),
            (None, Some(first)) => Ahead::Unreadable(format!("{first}, and {others} more")),
            (None, None) => Ahead::Nothing,
        }
    };
    let input = move || {
        let report = of_all.report();
        let files = Files {
            read: report.files_read,
            duplicates: report.duplicates_count,
            empty: report.files_empty,
            faulty: report.files_faulty,
            drifted: report.files_drifted,
        };
        let unmoved = Unmoved { files: report.unmoved.count, causes: report.unmoved.causes };
        InputNow { warnings: report.warnings, unmoved, notices: report.notices, files }
    };
    Told { ahead: Box::new(ahead), input: Box::new(input) }
}

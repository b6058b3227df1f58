//! What was written, to [`Settings`]: every value judged, all faults collected, bounds by name.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use telemetra_connectors::sqlite::JOB_NAME_BYTES_MAX;
use telemetra_core::{
    chat::sentiment::{Lexicon, Sentiment, Tokenizer},
    commerce::Zone,
    window::WindowSpec,
};
use tracing_subscriber::filter::Targets;

use super::{
    Arrival, ChatSettings, CommerceSettings, Flow, FolderOrder, Inputs, LateFiles, LogSettings, Settings,
    fault::{Fault, Faults, Origin},
    layers::{Overlaid, Values},
    parse::{self, Wrong},
};

const HOUR_MS: i64 = 3_600_000;
const WINDOW_MS: RangeInclusive<i64> = 100..=24 * HOUR_MS;
const DELAY_MS: RangeInclusive<i64> = 0..=24 * HOUR_MS;
const IDLE_MS: RangeInclusive<i64> = 100..=24 * HOUR_MS;
const TRIGGER_MS: RangeInclusive<i64> = 0..=HOUR_MS;
const RECORDS: RangeInclusive<u64> = 1..=1_000_000_000;
const PROVISIONAL_ROWS: RangeInclusive<usize> = 1..=10_000_000;
const REPLAY_RECORDS: RangeInclusive<u64> = 1_000..=1_000_000_000_000;
const THRESHOLD: RangeInclusive<f64> = 0.1..=1_000.0;
const RETRY_SECONDS: RangeInclusive<f64> = 0.1..=3_600.0;
const WORKERS: RangeInclusive<usize> = 1..=256;
const OPEN_BYTES: RangeInclusive<u64> = 16 << 20..=1 << 40;
const LEXICON_BYTES_MAX: u64 = 1 << 20;
const LEXICON_FAULTS_SHOWN: usize = 20;

/// What the settings are for: decides what must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only what the command line can say: logs.
    Plain,
    /// The store is opened.
    Store,
    /// Chat is read: a folder or Kafka must be named.
    Chat,
    /// Shop events are read.
    Commerce,
    /// Chat is written.
    GenerateChat,
    /// Shop events are written.
    GenerateCommerce,
    /// Folders are the command's own.
    Demo,
}

/// Judges every value and returns the settings, or all that is wrong with them.
///
/// # Errors
/// All faults together, those of the layers first.
pub fn validate(overlaid: Overlaid, purpose: Purpose) -> Result<Settings, Faults> {
    let Overlaid { values, faults, notes } = overlaid;
    let mut judge = Judge { values, faults, notes };
    let mut settings = Settings {
        store: judge.store(purpose),
        job: judge.get("job", job_name),
        inputs: judge.inputs(purpose),
        chat: judge.chat(),
        commerce: judge.commerce(purpose),
        kafka: judge.kafka(purpose),
        flow: judge.flow(),
        http: judge.get("http", loopback),
        log: LogSettings {
            filter: judge.get("log_level", log_filter).unwrap_or_default(),
            json: judge.one_of("log_format", &[("text", false), ("json", true)]),
        },
        notes: Vec::new(),
    };
    settings.notes = judge.notes;
    if judge.faults.is_empty() { Ok(settings) } else { Err(Faults(judge.faults)) }
}

/// Values with what was found wrong with them so far.
pub(super) struct Judge {
    pub(super) values: Values,
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<String>,
}

impl Judge {
    /// The judged value; `None` if there is none or it is wrong.
    pub(super) fn get<T>(&mut self, key: &str, judge: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let raw = self.values.get(key)?;
        match judge(&raw.text) {
            Ok(value) => Some(value),
            Err((what, next)) => {
                self.faults.push(Fault { origin: raw.origin.clone(), what, next });
                None
            }
        }
    }

    /// As `get`; what stands in for a wrong value is never used, since there is a fault then.
    fn or<T>(&mut self, key: &str, stand_in: T, judge: impl Fn(&str) -> Result<T, Wrong>) -> T {
        self.get(key, judge).unwrap_or(stand_in)
    }

    fn one_of<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> T {
        self.or(key, choices[0].1, |text| parse::word(text, choices))
    }

    fn ms(&mut self, key: &str, bounds: RangeInclusive<i64>) -> i64 {
        let stand_in = *bounds.end();
        self.or(key, stand_in, |text| parse::duration_ms(text, bounds.clone()))
    }

    pub(super) fn fault(&mut self, key: &str, what: &str, next: &str) {
        let origin = self.values.get(key).map_or(Origin::Default(key.into()), |raw| raw.origin.clone());
        self.faults.push(Fault { origin, what: what.into(), next: next.into() });
    }

    fn inputs(&mut self, purpose: Purpose) -> Inputs {
        let inputs = Inputs {
            chat_dir: self.get("chat_dir", path),
            viewer_dir: self.get("viewer_dir", path),
            order: self.one_of(
                "folder_order",
                &[("name", FolderOrder::Name), ("event-time", FolderOrder::EventTime)],
            ),
            late_files: self.one_of("late_files", &[("halt", LateFiles::Halt), ("keep", LateFiles::Keep)]),
            arrival: self.one_of("arrival", &[("settle", Arrival::Settle), ("rename", Arrival::Rename)]),
        };
        let is_one = inputs.chat_dir.is_some() && inputs.chat_dir == inputs.viewer_dir;
        if purpose == Purpose::Chat && is_one {
            self.fault("viewer_dir", "is the folder of chat events too", "give each input its own folder");
        }
        inputs
    }

    fn commerce(&mut self, purpose: Purpose) -> CommerceSettings {
        let commerce = CommerceSettings {
            input_dir: self.or("input_dir", PathBuf::new(), path),
            processed_dir: self.or("processed_dir", PathBuf::new(), path),
            error_dir: self.or("error_dir", PathBuf::new(), path),
            log_dir: self.or("log_dir", PathBuf::new(), path),
            timezone: self.or("event_timezone", Zone::default(), zone),
        };
        if purpose == Purpose::Commerce {
            for (key, dir) in [("processed_dir", &commerce.processed_dir), ("error_dir", &commerce.error_dir)]
            {
                if *dir == commerce.input_dir {
                    self.fault(key, "is the folder that is read, too", "give it a folder of its own");
                }
            }
        }
        commerce
    }

    fn chat(&mut self) -> ChatSettings {
        let faults_before = self.faults.len();
        let length_ms = self.ms("window_duration", WINDOW_MS);
        let slide_ms = self.ms("slide_duration", WINDOW_MS);
        let window = WindowSpec::new(length_ms, slide_ms).unwrap_or_else(|what| {
            // Only if both are durations: what stands in for a wrong one is no fault of its own.
            if self.faults.len() == faults_before {
                let slide = self.values.get("slide_duration");
                let slide_given = slide.is_some_and(|raw| !matches!(raw.origin, Origin::Default(_)));
                let key = if slide_given { "slide_duration" } else { "window_duration" };
                self.fault(key, &what, "choose a window length that is a multiple of the slide");
            }
            WindowSpec::new(60_000, 10_000).expect("60 s is a multiple of 10 s")
        });
        ChatSettings {
            window,
            delay_ms: self.ms("watermark_delay", DELAY_MS),
            future_skew_ms: self.ms("max_future_skew", DELAY_MS),
            anomaly_threshold: self.or("anomaly_threshold", 0.0, |text| parse::number(text, THRESHOLD)),
            sentiment: self.sentiment(),
        }
    }

    fn sentiment(&mut self) -> Sentiment {
        let tokenizer = self.one_of(
            "sentiment_tokenizer",
            &[("words", Tokenizer::Words), ("whitespace", Tokenizer::Whitespace)],
        );
        match self.get("sentiment_lexicon", lexicon) {
            Some(lexicon) => Sentiment::with_lexicon(tokenizer, lexicon),
            None => Sentiment::new(tokenizer),
        }
    }

    fn flow(&mut self) -> Flow {
        let retry_seconds = self.or("retry_delay_seconds", 0.0, |text| parse::number(text, RETRY_SECONDS));
        let open_bytes = self.or("open_bytes_max", 0, |text| parse::size_bytes(text, OPEN_BYTES));
        Flow {
            trigger: self.or("trigger_interval", Duration::ZERO, |text| parse::duration(text, TRIGGER_MS)),
            records_per_trigger: self.or("max_records_per_trigger", None, |text| match text {
                "none" => Ok(None),
                text => parse::number(text, RECORDS).map(Some),
            }),
            idle_timeout_ms: self.ms("idle_timeout", IDLE_MS),
            provisional_rows_max: self
                .or("provisional_rows_max", 0, |text| parse::number(text, PROVISIONAL_ROWS)),
            replay_records_max: self.or("replay_records_max", 0, |text| parse::number(text, REPLAY_RECORDS)),
            retry_delay: Duration::from_secs_f64(retry_seconds),
            workers: self.or("workers", 1, workers),
            open_bytes_max: usize::try_from(open_bytes).unwrap_or(usize::MAX),
            skip_gaps: self.one_of("on_gap", &[("halt", false), ("record", true)]),
        }
    }
}

fn job_name(text: &str) -> Result<String, Wrong> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=JOB_NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    let next = format!("use 1 to {JOB_NAME_BYTES_MAX} letters (a-z), digits, `-` or `_`");
    Err((format!("`{}` is no name for a job", text.escape_debug()), next))
}

fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() { Err(("is empty".into(), "name a folder".into())) } else { Ok(PathBuf::from(text)) }
}

fn zone(text: &str) -> Result<Zone, Wrong> {
    let next = || "name a zone of the IANA database, such as UTC or Europe/Berlin".to_owned();
    Zone::named(text).ok_or_else(|| (format!("`{}` is no time zone", text.escape_debug()), next()))
}

fn loopback(text: &str) -> Result<SocketAddr, Wrong> {
    let next = "write 127.0.0.1:8080, or [::1]:8080";
    let text = text.trim().replacen("localhost:", "127.0.0.1:", 1);
    let address = text.strip_prefix(':').map_or_else(|| text.clone(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr =
        address.parse().map_err(|_| (format!("`{text}` is not an address with a port"), next.to_owned()))?;
    let is_loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if is_loopback {
        return Ok(address);
    }
    let what =
        format!("`{text}` is reachable from other machines, and the page has no login in this version");
    Err((what, format!("{next}; for others put a proxy with a login and TLS before it")))
}

fn log_filter(text: &str) -> Result<String, Wrong> {
    // The old jobs write Python's and log4j's names.
    let text = match text.trim().to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "fatal" | "critical" => "error".to_owned(),
        "all" => "trace".to_owned(),
        text => text.to_owned(),
    };
    // A bare word that is no level would be taken for a target, which turns everything on for it and all else off.
    let is_level = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or_default().trim();
        ["off", "error", "warn", "info", "debug", "trace"].contains(&level)
    };
    match text.parse::<Targets>() {
        Ok(_) if text.split(',').all(is_level) => Ok(text),
        _ => {
            let next = "choose error, warn, info, debug or trace, or target=level pairs joined by commas";
            Err((format!("`{}` is no log level", text.escape_debug()), next.into()))
        }
    }
}

fn workers(text: &str) -> Result<usize, Wrong> {
    if text == "auto" {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        return Ok(cores.min(*WORKERS.end()));
    }
    parse::number(text, WORKERS)
}

fn lexicon(path: &str) -> Result<Lexicon, Wrong> {
    let next = || "name a readable file with one `word,weight` a line".to_owned();
    let wrong = |error: std::io::Error| (format!("`{path}` cannot be read: {error}"), next());
    let length = std::fs::metadata(path).map_err(wrong)?.len();
    if length > LEXICON_BYTES_MAX {
        return Err((format!("`{path}` is longer than 1 MB"), next()));
    }
    let text = std::fs::read_to_string(path).map_err(wrong)?;
    Lexicon::parse(&text).map_err(|faults| {
        let faults: Vec<String> = faults.iter().take(LEXICON_FAULTS_SHOWN).map(ToString::to_string).collect();
        (format!("`{path}` is no lexicon: {}", faults.join("; ")), next())
    })
}

//! The four layers of settings laid over each other: flag, environment, file, default.
//!
//! What comes out is one text per key with its origin. Unknown names are faults here; what a value means is
//! `validate`'s to judge. Nobody else reads the environment or the file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    fault::{Fault, Origin},
    parse::nearest,
    spec::{CONFIG_ENV, SPECS, Scope, by_env, by_key},
};

/// Every default with unit and comment.
pub const DEFAULT_TOML: &str = include_str!("default.toml");
/// The settings file that is read when it exists.
pub const DEFAULT_CONFIG: &str = "telemetra.toml";
/// Longest settings file, bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// One value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The text.
    pub text: String,
    /// Where it was written.
    pub origin: Origin,
}

/// What was written, by key.
pub type Values = BTreeMap<&'static str, Raw>;

/// What the layers are made of. `environment` is the process's, read once in `main`.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Flags given, by key.
    pub flags: Vec<(&'static str, String)>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// All environment variables; a value that is not UTF-8 is `None`.
    pub environment: Vec<(String, Option<String>)>,
    /// Keys taken from flags alone: `demo` heeds no store and no input that the environment names.
    pub ignored: &'static [&'static str],
}

/// The layers laid over each other.
#[derive(Clone, Debug, Default)]
pub struct Overlaid {
    /// One value per key that has any.
    pub values: Values,
    /// Unknown names and unreadable files so far.
    pub faults: Vec<Fault>,
    /// Lines for the start: names that are known and without effect.
    pub notes: Vec<String>,
}

/// The lowest layer.
pub fn defaults() -> Values {
    let mut all = Overlaid::default();
    file_layer(DEFAULT_TOML, |key, _line| Origin::Default(key.to_owned()), &mut all);
    assert!(all.faults.is_empty(), "default.toml is ours: {:?}", all.faults);
    all.values
}

/// Lays the layers over each other.
pub fn overlay(layers: &Layers) -> Overlaid {
    let mut all = Overlaid { values: defaults(), ..Overlaid::default() };
    if let Some(path) = config_path(layers) {
        let origin = |key: &str, line| Origin::File { path: path.clone(), line, key: key.to_owned() };
        match read_bounded(&path) {
            Ok(text) => {
                let below = all.values.clone();
                file_layer(&text, origin, &mut all);
                restore(layers.ignored, below, &mut all.values);
            }
            Err(error) => all.faults.push(Fault {
                origin: origin("", 0),
                what: format!("cannot be read: {error}"),
                next: "name a readable file with --config, or leave it out".into(),
            }),
        }
    }
    let below = all.values.clone();
    environment_layer(&layers.environment, &mut all);
    restore(layers.ignored, below, &mut all.values);
    for (key, text) in &layers.flags {
        let origin = Origin::Flag(key.replace('_', "-"));
        all.values.insert(key, Raw { text: text.clone(), origin });
    }
    all
}

fn restore(ignored: &[&'static str], mut below: Values, values: &mut Values) {
    for key in ignored {
        match below.remove(key) {
            Some(raw) => values.insert(key, raw),
            None => values.remove(key),
        };
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > CONFIG_BYTES_MAX {
        return Err(std::io::Error::other("it is longer than 1 MB"));
    }
    std::fs::read_to_string(path)
}

/// The settings file: named by flag, then by the environment, else `telemetra.toml` if it is there.
fn config_path(layers: &Layers) -> Option<PathBuf> {
    let named = layers.environment.iter().find(|(name, _)| name == CONFIG_ENV);
    let named = named.and_then(|(_, value)| value.clone()).filter(|value| !value.is_empty());
    let path = layers.config.clone().or(named.map(PathBuf::from));
    path.or_else(|| Some(PathBuf::from(DEFAULT_CONFIG)).filter(|path| path.exists()))
}

fn file_layer(text: &str, origin: impl Fn(&str, usize) -> Origin, all: &mut Overlaid) {
    let line_of = |at: usize| 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        all.faults.push(Fault {
            origin: origin("", error.span().map_or(1, |span| line_of(span.start))),
            what: error.message().to_owned(),
            next: "see https://toml.io for how a settings file reads".into(),
        });
    }
    for (key, value) in document.into_inner() {
        let origin = origin(key.get_ref(), line_of(key.span().start));
        let Some(spec) = by_key(key.get_ref()) else {
            let meant = nearest(key.get_ref(), SPECS.iter().map(|spec| spec.key));
            let next = meant.map_or("`telemetra run chat --help` lists the settings".into(), did_you_mean);
            all.faults.push(Fault { origin, what: "there is no such setting".into(), next });
            continue;
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            other => {
                let what = format!("is a TOML {}", other.type_str());
                all.faults.push(Fault { origin, what, next: "write a text or a number".into() });
                continue;
            }
        };
        all.values.insert(spec.key, Raw { text, origin });
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean {name}?")
}

fn environment_layer(environment: &[(String, Option<String>)], all: &mut Overlaid) {
    let mut spark = Vec::new();
    for (name, value) in environment {
        let origin = Origin::Env(name.clone());
        let Some(spec) = by_env(name) else {
            if name.starts_with("SPARK_") {
                spark.push(name.as_str());
            } else if name.starts_with("TELEMETRA_") && name != CONFIG_ENV {
                let meant = nearest(name, SPECS.iter().map(|spec| spec.env));
                let next = meant.map_or("unset it".into(), did_you_mean);
                all.faults.push(Fault { origin, what: "there is no such setting".into(), next });
            }
            continue;
        };
        match value {
            // Compose files pass unset variables on as empty ones.
            Some(text) if text.trim().is_empty() => {}
            Some(text) => {
                if spec.scope == Scope::Accepted {
                    all.notes.push(format!("{name} is {}", spec.help));
                }
                all.values.insert(spec.key, Raw { text: text.clone(), origin });
            }
            None => {
                let next = "set it to plain text".into();
                all.faults.push(Fault { origin, what: "is not UTF-8".into(), next });
            }
        }
    }
    if !spark.is_empty() {
        spark.sort_unstable();
        all.notes.push(format!("ignored, there is no Spark here: {}", spark.join(", ")));
    }
}

//! Precedence, names, and faults all in one message.

use std::{fs, path::Path};

use super::{
    fault::Origin,
    layers::{DEFAULT_TOML, Layers, overlay},
    spec::{SPECS, Scope},
    *,
};

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

fn config(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("telemetra.toml");
    fs::write(&path, text).expect("the settings file is written");
    (folder, path)
}

fn layers(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: Option<&Path>) -> Layers {
    Layers {
        flags: flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect(),
        config: file.map(Path::to_owned),
        environment: environment(env),
        ignored: &[],
    }
}

fn load(flags: &[(&'static str, &str)], env: &[(&str, &str)]) -> Result<Settings, Faults> {
    Settings::load(&layers(flags, env, None), Purpose::Chat)
}

fn sqlite(path: &str) -> Place {
    Place::Sqlite(PathBuf::from(path))
}

/// The origins of the faults, in order.
fn origins(result: Result<Settings, Faults>) -> Vec<String> {
    result.expect_err("a fault").0.iter().map(|fault| fault.origin.to_string()).collect()
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let settings = load(&[("chat_dir", "in")], &[]).expect("valid");
    assert_eq!((settings.chat.window.length_ms(), settings.chat.window.slide_ms()), (60_000, 10_000));
    assert_eq!((settings.chat.delay_ms, settings.chat.future_skew_ms), (10_000, 60_000));
    assert_eq!(settings.flow.idle_timeout_ms, 30_000);
    assert_eq!(settings.flow.trigger, Duration::from_secs(1));
    assert_eq!(settings.flow.records_per_trigger, None);
    assert_eq!(settings.flow.provisional_rows_max, 5_000);
    assert_eq!(settings.flow.replay_records_max, 10_000_000);
    assert_eq!(settings.chat.anomaly_threshold, 3.0);
    assert_eq!(settings.store.place, sqlite("telemetra.db"));
    assert_eq!(settings.store.origin, Origin::Default("store".into()));
    assert_eq!((settings.log.filter.as_str(), settings.log.json), ("info", false));
    assert_eq!(settings.job_or("chat"), "chat");
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let (_folder, path) = config("slide_duration = '5s'\nwindow_duration = '20s'\nidle_timeout = '7s'\n");
    let all = layers(
        &[("chat_dir", "in"), ("slide_duration", "2s")],
        &[("SLIDE_DURATION", "4s"), ("WINDOW_DURATION", "40 seconds"), ("TRIGGER_INTERVAL", "")],
        Some(&path),
    );
    let settings = Settings::load(&all, Purpose::Chat).expect("valid");
    assert_eq!(settings.chat.window.slide_ms(), 2_000, "flag");
    assert_eq!(settings.chat.window.length_ms(), 40_000, "environment");
    assert_eq!(settings.flow.idle_timeout_ms, 7_000, "file");
    assert_eq!(settings.flow.trigger, Duration::from_secs(1), "an empty variable is an unset one");
}

#[test]
fn the_old_jobs_names_work_unchanged() {
    let settings = load(
        &[("chat_dir", "in")],
        &[
            ("MAX_OFFSETS_PER_TRIGGER", "1000"),
            ("WATERMARK_DELAY", "20 seconds"),
            ("ANOMALY_THRESHOLD", "2.5"),
            ("LOG_LEVEL", "WARNING"),
            ("RETRY_DELAY_SECONDS", "5"),
            ("MAX_RETRIES", "3"),
            ("CHECKPOINT_LOCATION", "/tmp/checkpoints"),
            ("SPARK_MASTER", "local[*]"),
            ("SPARK_DRIVER_MEMORY", "2g"),
            ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"),
            ("KAFKA_STARTING_OFFSETS", "earliest"),
            ("POSTGRES_PORT", "5432"),
        ],
    )
    .expect("valid");
    assert_eq!(settings.flow.records_per_trigger, Some(1_000));
    assert_eq!(settings.chat.delay_ms, 20_000);
    assert_eq!(settings.chat.anomaly_threshold, 2.5);
    assert_eq!(settings.log.filter, "warn");
    assert_eq!(settings.flow.retry_delay, Duration::from_secs(5));
    assert_eq!(settings.notes.len(), 4, "{:?}", settings.notes);
    assert!(settings.notes[0].starts_with("MAX_RETRIES"));
    assert!(settings.notes[1].contains("the store is the checkpoint"));
    assert!(settings.notes[2].ends_with("SPARK_DRIVER_MEMORY, SPARK_MASTER"));
    assert!(settings.notes[3].starts_with("KAFKA_BOOTSTRAP_SERVERS is not heeded: a folder is named"));
}

#[test]
fn all_faults_stand_in_one_message_each_with_its_source() {
    let (_folder, path) = config("# comment\nidle_timeout = 'soon'\n\nkitchen = 3\nworkers = [1]\n");
    let all = layers(
        &[("max_records_per_trigger", "0"), ("chat_dir", "in"), ("http", "0.0.0.0:8080")],
        &[("WINDOW_DURATION", "10"), ("TELEMETRA_STOER", "sqlite:x"), ("LOG_LEVEL", "loud=very")],
        Some(&path),
    );
    let faults = Settings::load(&all, Purpose::Chat).expect_err("faults");
    let message = faults.to_string();
    let file = path.display();
    for part in [
        "8 settings are wrong:".to_owned(),
        format!("{file}:4, key kitchen: there is no such setting"),
        format!("{file}:5, key workers: is a TOML array"),
        format!("{file}:2, key idle_timeout: `soon` is not a duration"),
        "environment variable TELEMETRA_STOER: there is no such setting".into(),
        "did you mean TELEMETRA_STORE?".into(),
        "environment variable WINDOW_DURATION: `10` has no unit".into(),
        "write `10 seconds`".into(),
        "environment variable LOG_LEVEL".into(),
        "flag --max-records-per-trigger: `0` is outside the bounds".into(),
        "flag --http: `0.0.0.0:8080` is reachable from other machines".into(),
    ] {
        assert!(message.contains(&part), "{part:?} is missing in:\n{message}");
    }
}

#[test]
fn broken_toml_and_missing_files_are_faults_with_a_place() {
    let (_folder, path) = config("idle_timeout = '5s'\nstore = \n");
    let result = Settings::load(&layers(&[("chat_dir", "in")], &[], Some(&path)), Purpose::Chat);
    assert!(origins(result)[0].contains(":2"));
    let nowhere = Path::new("no/such/telemetra.toml");
    let result = Settings::load(&layers(&[("chat_dir", "in")], &[], Some(nowhere)), Purpose::Chat);
    assert!(result.expect_err("a fault").to_string().contains("cannot be read"));
}

#[test]
fn the_window_must_be_a_multiple_of_the_slide() {
    assert_eq!(
        origins(load(&[("chat_dir", "in")], &[("SLIDE_DURATION", "7s")])),
        ["environment variable SLIDE_DURATION"]
    );
    assert_eq!(
        origins(load(&[("chat_dir", "in"), ("window_duration", "61s")], &[])),
        ["flag --window-duration"]
    );
}

#[test]
fn no_input_is_a_fault_and_so_is_one_folder_for_both() {
    assert_eq!(origins(load(&[], &[])), ["flag --chat-dir"]);
    assert!(load(&[], &[]).expect_err("a fault").to_string().contains("--kafka HOST:PORT"));
    assert_eq!(origins(load(&[("chat_dir", "in"), ("viewer_dir", "in")], &[])), ["flag --viewer-dir"]);
    assert!(load(&[("viewer_dir", "in")], &[]).is_ok(), "one folder alone is allowed");
}

#[test]
fn demo_heeds_the_store_flag_alone() {
    let mut all = layers(&[], &[("TELEMETRA_STORE", "sqlite:other.db"), ("POSTGRES_URL", "x")], None);
    all.ignored = &["store"];
    let settings = Settings::load(&all, Purpose::Demo).expect("valid");
    assert_eq!(settings.store.place, sqlite("telemetra.db"));
    all.flags = vec![("store", "sqlite:mine.db".into())];
    let settings = Settings::load(&all, Purpose::Demo).expect("valid");
    assert_eq!(settings.store.place, sqlite("mine.db"));
    all.environment = environment(&[("POSTGRES_USER", "u"), ("POSTGRES_PASSWORD_FILE", "no/such")]);
    all.flags = vec![("store", "postgres://localhost/d".into())];
    let settings = Settings::load(&all, Purpose::Demo).expect("valid");
    assert_eq!(settings.store.to_string(), "postgres://localhost:5432/d?sslmode=prefer");
}

#[test]
fn the_page_stays_on_this_machine() {
    let http = |text| load(&[("chat_dir", "in"), ("http", text)], &[]).map(|settings| settings.http);
    for good in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", ":8080"] {
        assert!(http(good).is_ok(), "{good}");
    }
    for bad in ["192.168.0.1:80", "0.0.0.0:1", "[::]:1", "8080", "example.org:80"] {
        assert!(http(bad).is_err(), "{bad}");
    }
}

#[test]
fn default_toml_names_every_setting_with_its_environment_name() {
    let defaults = overlay(&Layers { config: Some("default".into()), ..Layers::default() });
    for spec in SPECS.iter().filter(|spec| spec.scope != Scope::Accepted) {
        let line = DEFAULT_TOML.lines().find(|line| {
            line.trim_start_matches("# ").strip_prefix(spec.key).is_some_and(|rest| rest.starts_with(" ="))
        });
        let line = line.unwrap_or_else(|| panic!("{} is missing", spec.key));
        assert!(line.contains(&format!("({})", spec.env)), "{line}");
        assert_eq!(!line.starts_with('#'), defaults.values.contains_key(spec.key), "{line}");
    }
}

#[test]
fn the_meaning_covers_what_changes_rows_and_nothing_else() {
    let meaning = |env: &[(&str, &str)]| {
        load(&[("chat_dir", "in")], env).expect("valid").rules(false, false, 0).meaning
    };
    let plain = meaning(&[]);
    for same in [("ANOMALY_THRESHOLD", "9"), ("TRIGGER_INTERVAL", "3s"), ("WINDOW_DURATION", "60s")] {
        assert_eq!(meaning(&[same]), plain, "{same:?}");
    }
    for other in [
        ("WINDOW_DURATION", "2 minutes"),
        ("SLIDE_DURATION", "20s"),
        ("WATERMARK_DELAY", "11s"),
        ("MAX_FUTURE_SKEW", "11s"),
        ("SENTIMENT_TOKENIZER", "whitespace"),
    ] {
        assert_ne!(meaning(&[other]), plain, "{other:?}");
    }
}

#[test]
fn the_lexicon_is_read_once_and_is_part_of_the_meaning() {
    let plain = load(&[("chat_dir", "in")], &[]).expect("valid").chat.meaning();
    let lexicon = |text: &str| {
        let (_folder, path) = config(text);
        load(&[("chat_dir", "in"), ("sentiment_lexicon", path.to_str().expect("a plain path"))], &[])
    };
    let settings = lexicon("good,1\nbad,-1\n").expect("valid");
    assert_ne!(settings.chat.meaning(), plain);
    assert!(settings.chat_logic(255).sentiment.score("good") > 0);
    let faults = lexicon("good\nbad,x\n").expect_err("a fault").to_string();
    assert!(faults.contains("line 1") && faults.contains("line 2"), "{faults}");
    assert_eq!(
        origins(load(&[("chat_dir", "in"), ("sentiment_lexicon", "no/such")], &[])),
        ["flag --sentiment-lexicon"]
    );
}

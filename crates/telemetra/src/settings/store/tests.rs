//! Which store is chosen, what fills its address, and that no secret is told.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;
use crate::settings::{Faults, Layers, Settings};

fn load(
    flags: &[(&'static str, &str)],
    env: &[(&str, &str)],
    file: Option<&Path>,
) -> Result<Settings, Faults> {
    let layers = Layers {
        flags: flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect(),
        config: file.map(Path::to_owned),
        environment: env.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect(),
        ignored: &[],
    };
    Settings::load(&layers, Purpose::Store)
}

/// A file with `text` and `mode`.
fn file(text: &str, mode: u32) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("secret");
    fs::write(&path, text).expect("the folder can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the file is ours");
    (folder, path.to_str().expect("a plain path").to_owned())
}

fn has_password(settings: &Settings) -> bool {
    matches!(&settings.store.place, Place::Postgres(address) if address.has_password())
}

#[test]
fn the_store_is_chosen_by_the_first_that_speaks() {
    let check = |flags: &[(&'static str, &str)], env: &[(&str, &str)], shown: &str, origin: &str| {
        let store = load(flags, env, None).expect("valid").store;
        assert_eq!((store.to_string(), store.origin.to_string()), (shown.into(), origin.into()));
    };
    let url = ("POSTGRES_URL", "jdbc:postgresql://localhost/d");
    let host = ("POSTGRES_HOST", "localhost");
    let shown = "postgres://localhost:5432/d?sslmode=prefer";
    check(&[], &[("POSTGRES_PORT", "1")], "sqlite:telemetra.db", "built-in default of store");
    check(&[], &[url], shown, "environment variable POSTGRES_URL");
    check(&[], &[host, ("POSTGRES_DB", "d")], shown, "environment variable POSTGRES_HOST");
    check(&[("store", "sqlite:x.db")], &[url, host], "sqlite:x.db", "flag --store");
    let store = ("TELEMETRA_STORE", "postgres://localhost/d");
    check(&[], &[store], shown, "environment variable TELEMETRA_STORE");
    check(&[("store", "jdbc:postgresql://localhost/d")], &[store], shown, "flag --store");
    check(
        &[("postgres_port", "6432"), ("postgres_ssl_mode", "require")],
        &[("POSTGRES_HOST", "a,::1"), ("POSTGRES_DB", "shop"), ("POSTGRES_USER", "ann")],
        "postgres://ann@a:6432,[::1]:6432/shop?sslmode=require",
        "environment variable POSTGRES_HOST",
    );
}

#[test]
fn an_address_is_filled_from_single_settings_and_beats_them() {
    let single = [
        ("POSTGRES_URL", "jdbc:postgresql://db:5/shop?user=ann"),
        ("POSTGRES_HOST", "elsewhere"),
        ("POSTGRES_USER", "bob"),
        ("POSTGRES_PASSWORD", "canary"),
        ("POSTGRES_SSL_ROOT_CERT", "/ca.pem"),
    ];
    let settings = load(&[], &single, None).expect("valid");
    assert_eq!(
        settings.store.to_string(),
        "postgres://ann@db:5/shop?sslmode=verify-full&sslrootcert=%2Fca.pem"
    );
    assert!(has_password(&settings));
    let note = "store: not heeded of the POSTGRES_* settings, the address says otherwise: host, user";
    assert_eq!(settings.notes, [note]);
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn a_file_beats_the_environment_and_is_read_by_its_owner_alone() {
    let host = ("POSTGRES_HOST", "localhost");
    let plain = ("POSTGRES_PASSWORD", "plain");
    let (_folder, path) = file("canary\n", 0o600);
    let settings = load(&[], &[host, plain, ("POSTGRES_PASSWORD_FILE", &path)], None).expect("valid");
    let Place::Postgres(address) = &settings.store.place else { panic!("{:?}", settings.store) };
    let expected = Parts { password: Some(Secret::new("canary")), ..Parts::default() }.finish();
    assert_eq!(**address, expected.expect("valid"), "without the line's end");
    assert_eq!(settings.notes, ["POSTGRES_PASSWORD is not heeded: POSTGRES_PASSWORD_FILE is set"]);

    let (_folder, path) = file("postgres://ann:canary@localhost/d\n", 0o400);
    let settings = load(&[], &[("POSTGRES_URL_FILE", &path), ("POSTGRES_URL", "x")], None).expect("valid");
    assert_eq!(settings.store.to_string(), "postgres://ann@localhost:5432/d?sslmode=prefer");
    assert!(has_password(&settings));

    for (text, mode, words) in [
        ("canary", 0o640, "is open to others (mode 640)"),
        ("canary", 0o604, "is open to others (mode 604)"),
        ("\n", 0o600, "is empty"),
    ] {
        let (_folder, path) = file(text, mode);
        for name in ["POSTGRES_PASSWORD_FILE", "POSTGRES_URL_FILE"] {
            let faults = load(&[], &[host, (name, &path)], None).expect_err("a fault").to_string();
            assert!(faults.contains(words) && faults.contains(name), "{faults}");
            assert!(!faults.contains("canary"), "{faults}");
        }
    }
    let faults = load(&[], &[host, ("POSTGRES_PASSWORD_FILE", "no/such")], None).expect_err("a fault");
    assert!(faults.to_string().contains("`no/such` cannot be read"), "{faults}");
}

#[test]
fn a_settings_file_that_holds_a_password_is_private() {
    for text in [
        "postgres_host = 'localhost'\npostgres_password = 'canary'\n",
        "store = 'postgres://u:canary@localhost/d'\n",
        "postgres_url = 'postgres://u:canary@localhost/d'\n",
    ] {
        let (_folder, path) = file(text, 0o644);
        let faults = load(&[], &[], Some(Path::new(&path))).expect_err("a fault").to_string();
        assert!(faults.contains("is open to others (mode 644)") && !faults.contains("canary"), "{faults}");
        let (_folder, path) = file(text, 0o600);
        assert!(has_password(&load(&[], &[], Some(Path::new(&path))).expect("valid")), "{text}");
    }
}

#[test]
fn a_password_on_the_command_line_works_and_is_noted() {
    let settings = load(&[("store", "postgres://u:canary@localhost/d")], &[], None).expect("valid");
    assert!(has_password(&settings));
    assert!(settings.notes[0].contains("shows in this machine's process list"), "{:?}", settings.notes);
    assert!(!settings.notes[0].contains("canary"));
    let settings = load(&[], &[("POSTGRES_URL", "postgres://u:canary@localhost/d")], None).expect("valid");
    assert_eq!(settings.notes, Vec::<String>::new());
}

#[test]
fn every_wrong_value_is_named_with_its_origin_and_no_secret() {
    let faults = load(
        &[("postgres_port", "0")],
        &[
            ("POSTGRES_URL", "postgres://u:canary@h/d?sslmod=require"),
            ("POSTGRES_SSL_MODE", "maybe"),
            ("POSTGRES_ALLOW_CLEAR_PASSWORD", "perhaps"),
        ],
        None,
    );
    let message = faults.expect_err("faults").to_string();
    for part in [
        "4 settings are wrong:",
        "environment variable POSTGRES_URL: has a parameter `sslmod`, which does not exist",
        "did you mean sslmode?",
        "flag --postgres-port: `0` is outside the bounds",
        "environment variable POSTGRES_SSL_MODE: `maybe` is none of its words",
        "environment variable POSTGRES_ALLOW_CLEAR_PASSWORD",
    ] {
        assert!(message.contains(part), "{part:?} is missing in:\n{message}");
    }
    assert!(!message.contains("canary"), "{message}");
    for typo in ["postgress://u:canary@h/d", "postgres:u:canary@h/d", "canary@h", "u:canary@h"] {
        let message = load(&[("store", typo)], &[], None).expect_err("a fault").to_string();
        assert!(message.contains("flag --store") && !message.contains("canary"), "{message}");
    }
}

#[test]
fn a_password_goes_to_another_machine_in_clear_only_when_told_to() {
    let clear = [("POSTGRES_HOST", "db"), ("POSTGRES_PASSWORD", "canary"), ("POSTGRES_SSL_MODE", "disable")];
    let message = load(&[], &clear, None).expect_err("a fault").to_string();
    assert!(
        message.contains("in clear") && message.contains("postgres_allow_clear_password = true"),
        "{message}"
    );
    assert!(load(&[("postgres_allow_clear_password", "true")], &clear, None).is_ok());
}

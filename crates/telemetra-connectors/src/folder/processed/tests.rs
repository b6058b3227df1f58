//! Moving one file.

use super::*;

/// Moves `a.csv` with content `x` beside what lies there already; returns what lies there then.
fn check(there: &[(&str, &str)], is_far: bool, expected: &[(&str, &str)]) -> Moved {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (dir.path().join("a.csv"), dir.path().join("done"));
    fs::write(&from, "x").expect("written");
    fs::create_dir(&to).expect("made");
    for (name, text) in there {
        fs::write(to.join(name), text).expect("written");
    }
    let moved = put_away(&from, "a.csv", &to, |from, to| match is_far {
        true => Err(io::ErrorKind::CrossesDevices.into()),
        false => fs::rename(from, to),
    })
    .expect("moved");
    let mut found: Vec<_> = fs::read_dir(&to)
        .expect("listed")
        .map(|entry| entry.expect("listed").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("read"))
        })
        .collect();
    found.sort();
    let expected: Vec<_> = expected.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    assert_eq!(found, expected);
    assert!(!from.exists());
    moved
}

#[test]
fn moving_is_idempotent_and_overwrites_nothing() {
    check(&[], false, &[("a.csv", "x")]);
    check(&[("a.csv", "y")], false, &[("a.1.csv", "x"), ("a.csv", "y")]);
    check(
        &[("a.csv", "y"), ("a.1.csv", "zz")],
        false,
        &[("a.1.csv", "zz"), ("a.2.csv", "x"), ("a.csv", "y")],
    );
    assert_eq!(check(&[("a.csv", "x")], false, &[("a.csv", "x")]), Moved::WasThere);
    let there = [("a.1.csv", "x"), ("a.csv", "y")];
    assert_eq!(check(&there, false, &there), Moved::WasThere);
}

#[test]
fn another_file_system_gets_a_copy() {
    check(&[], true, &[("a.csv", "x")]);
    // What an earlier try left is written anew.
    check(&[(".a.csv.part", "half")], true, &[("a.csv", "x")]);
    check(&[("a.csv", "y")], true, &[("a.1.csv", "x"), ("a.csv", "y")]);
    assert_eq!(check(&[("a.csv", "x")], true, &[("a.csv", "x")]), Moved::WasThere);
}

#[test]
fn a_copy_keeps_time_and_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&from, "x").expect("written");
    fs::set_permissions(&from, fs::Permissions::from_mode(0o640)).expect("mode set");
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567);
    File::options().write(true).open(&from).expect("opened").set_modified(time).expect("time set");
    copy_over(&from, &to).expect("copied");
    let data = fs::metadata(&to).expect("there");
    assert_eq!((data.modified().expect("a time"), data.mode() & 0o777), (time, 0o640));
}

#[test]
fn a_link_under_the_name_is_not_followed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (dir.path().join("a"), dir.path().join("done"));
    fs::write(&from, "x").expect("written");
    fs::create_dir(&to).expect("made");
    std::os::unix::fs::symlink(&from, to.join("a")).expect("linked");
    assert_eq!(put_away(&from, "a", &to, |a, b| fs::rename(a, b)).expect("moved"), Moved::To(to.join("a.1")));
}

#[test]
fn numbers_go_before_the_suffix() {
    let check = |name: &str, expected: &str| assert_eq!(numbered(name, 3), expected);
    check("a.csv", "a.3.csv");
    check("a", "a.3");
    check("a.csv.gz", "a.csv.3.gz");
    check(".a", ".a.3");
}

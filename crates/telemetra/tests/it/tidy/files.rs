//! Where a file belongs, how long it may be, and that it says what it owns.

/// Lines that a file may have, inline tests included.
const LINES_MAX: usize = 600;

/// Files that are longer, with their lines. This list only shrinks.
const LONG: [(&str, usize); 0] = [];

/// A floor whose code is checked for what it must not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Core,
    Engine,
    Connectors,
}

/// The floor of a shipped source file; `None` for tests and for floors without rules of their own.
pub(super) fn area(path: &str) -> Option<Area> {
    if is_test(path) {
        return None;
    }
    [
        ("crates/telemetra-core/src/", Area::Core),
        ("crates/telemetra-engine/src/", Area::Engine),
        ("crates/telemetra-connectors/src/", Area::Connectors),
    ]
    .into_iter()
    .find_map(|(folder, area)| path.starts_with(folder).then_some(area))
}

/// Whether a whole file is tests.
pub(super) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The top module of a crate that a file belongs to: `folder` for `crates/x/src/folder/cut.rs`.
pub(super) fn module_of(path: &str) -> &str {
    let inside = path.split_once("/src/").map_or(path, |(_, inside)| inside);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// The connectors: every top module of theirs.
pub(super) fn siblings<'p>(paths: &[&'p str]) -> Vec<&'p str> {
    let mut modules: Vec<_> =
        paths.iter().map(|path| module_of(path)).filter(|&name| name != "lib").collect();
    modules.sort_unstable();
    modules.dedup();
    modules
}

pub(super) fn too_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let allowed = LONG.iter().find(|(long, _)| *long == path).map_or(LINES_MAX, |(_, lines)| *lines);
    (lines > allowed).then(|| format!("{lines} lines, at most {allowed}: which second idea moved in?"))
}

pub(super) fn no_module_doc(text: &str) -> Option<String> {
    let is_said =
        text.lines().next().and_then(|line| line.strip_prefix("//! ")).is_some_and(|doc| doc.len() > 10);
    (!is_said).then(|| "opens without a `//!` line that says what it owns".into())
}

/// Exceptions that are no longer needed, or could be smaller.
pub(super) fn stale_exceptions(files: &[(String, String)]) -> Vec<String> {
    let lines =
        |path: &str| files.iter().find(|(found, _)| found == path).map(|(_, text)| text.lines().count());
    let stale = LONG.iter().filter(|(path, allowed)| lines(path).is_none_or(|lines| lines < *allowed));
    stale.map(|(path, _)| format!("{path}: its exception from the length limit can shrink or go")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(area("crates/telemetra-core/src/chat/mod.rs"), Some(Area::Core));
        assert_eq!(area("crates/telemetra-core/src/chat/tests.rs"), None);
        assert_eq!(area("crates/telemetra/src/main.rs"), None);
        assert_eq!(module_of("crates/telemetra-connectors/src/folder/cut.rs"), "folder");
        assert_eq!(module_of("crates/telemetra-connectors/src/kafka.rs"), "kafka");
        assert_eq!(siblings(&["c/src/b/x.rs", "c/src/a.rs", "c/src/b/y.rs", "c/src/lib.rs"]), ["a", "b"]);
    }

    #[test]
    fn length_and_opening_can_fail() {
        assert!(too_long("x.rs", &"\n".repeat(600)).is_none());
        assert!(too_long("x.rs", &"\n".repeat(601)).is_some());
        assert!(no_module_doc("//! Owns the example.\n").is_none());
        assert!(no_module_doc("//! x\n").is_some());
        assert!(no_module_doc("use std::fmt;\n//! Owns the example.\n").is_some());
        assert!(no_module_doc("").is_some());
    }
}

//! What Rust code may not say, by floor. Works on the text: comments, texts and tests are blanked first.

/// Words that code must not hold, and why.
pub(super) struct Ban {
    words: &'static [&'static str],
    /// The words count anywhere in an identifier or text and in any case, not only whole.
    anywhere: bool,
    why: &'static str,
}

const fn whole(words: &'static [&'static str], why: &'static str) -> Ban {
    Ban { words, anywhere: false, why }
}

const fn anywhere(words: &'static [&'static str], why: &'static str) -> Ban {
    Ban { words, anywhere: true, why }
}

/// What the core must not know.
pub(super) const CORE: &[Ban] = &[
    whole(&["std::fs", "std::io", "std::net", "std::process"], "core does no I/O"),
    whole(&["std::env"], "core reads no environment"),
    whole(
        &["Instant", "SystemTime", "Timestamp::now", "Zoned::now"],
        "core has no clock: time is an argument",
    ),
    whole(&["TimeZone::system"], "core reads no environment: a time zone is an argument"),
    whole(&["std::thread", "std::sync::mpsc"], "core starts no threads"),
    whole(&["async", "await", "tokio"], "core is synchronous"),
    whole(&["tracing", "log", "println!", "eprintln!", "print!", "eprint!"], "core does not log"),
    whole(&["anyhow"], "libraries have errors of their own"),
];

/// What the engine must not know.
pub(super) const ENGINE: &[Ban] = &[
    whole(&["async", "await", "tokio"], "the engine is synchronous"),
    whole(&["std::fs", "std::net", "std::process", "std::env"], "the engine reaches out by its traits alone"),
    whole(&["rusqlite", "axum", "hyper", "flate2", "zstd", "anyhow"], "the engine knows no client library"),
    anywhere(&["chat", "viewer", "emote", "commerce"], "the engine does not know products"),
    anywhere(&["kafka", "postgres", "sqlite"], "the engine does not know what it is connected to"),
    anywhere(&["http"], "the engine knows no HTTP"),
];

/// What connectors must not know.
pub(super) const CONNECTORS: &[Ban] = &[
    whole(&["std::env"], "connectors read no settings"),
    whole(&["axum", "hyper", "clap", "toml"], "connectors know neither HTTP nor settings"),
    whole(&["anyhow"], "libraries have errors of their own"),
];

/// What no file holds.
pub(super) const UNFINISHED: &[Ban] = &[
    whole(&["todo!", "unimplemented!", "dbg!"], "unfinished thoughts go to an issue"),
    whole(&["#[ignore", "#![ignore"], "a test that does not run proves nothing"),
];

/// What tests do not hold.
pub(super) const IN_TESTS: &[Ban] =
    &[whole(&["thread::sleep", "time::sleep"], "tests wait for events, not for time")];

/// Line, word and reason of every banned word in code. Grouped `use` lines are looked at path by path.
pub(super) fn banned(code: &str, bans: &[Ban]) -> Vec<String> {
    let used = use_paths(code);
    let mut faults = Vec::new();
    for ban in bans {
        for word in ban.words {
            let lines = code.lines().enumerate().filter(|(_, line)| holds(line, word, ban.anywhere));
            let mut places: Vec<_> = lines.map(|(at, _)| at + 1).collect();
            places.extend(
                used.iter().filter(|(_, path)| holds(path, word, ban.anywhere)).map(|(line, _)| *line),
            );
            places.sort_unstable();
            places.dedup();
            faults.extend(places.iter().map(|line| format!("{line}: `{word}`: {}", ban.why)));
        }
    }
    faults
}

/// The floor beneath the stores, and the stores that stand on it: what they read alike.
const LEDGER: &str = "ledger";
const STORES: [&str; 2] = ["postgres", "sqlite"];
/// Beneath all that have servers to talk to.
const BENEATH_ALL: [&str; 2] = ["secret", "tls"];

/// Connectors that a file of connector `own` names, by line. Stores may name the floor beneath them, all what is
/// beneath all.
pub(super) fn names_sibling(
    own: &str,
    siblings: &[&str],
    text: &str,
) -> impl Iterator<Item = String> + use<> {
    let code = shipped(text);
    let mut faults = Vec::new();
    let may_name = |sibling: &str| {
        sibling == own || BENEATH_ALL.contains(&sibling) || (sibling == LEDGER && STORES.contains(&own))
    };
    for sibling in siblings.iter().filter(|sibling| own != "lib" && !may_name(sibling)) {
        let path = format!("crate::{sibling}");
        let inline =
            code.lines().enumerate().filter(|(_, line)| holds(line, &path, false)).map(|(at, _)| at + 1);
        let used =
            use_paths(&code).into_iter().filter(|(_, used)| holds(used, &path, false)).map(|(line, _)| line);
        faults.extend(
            inline.chain(used).map(|line| format!("{line}: {own} names {sibling}: connectors are siblings")),
        );
    }
    faults.dedup();
    faults.into_iter()
}

fn holds(line: &str, word: &str, anywhere: bool) -> bool {
    if anywhere {
        return line.to_lowercase().contains(word);
    }
    let is_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    line.match_indices(word).any(|(at, _)| {
        let before =
            line[..at].bytes().next_back().filter(|_| word.starts_with(|first: char| first.is_alphabetic()));
        let after = line.as_bytes().get(at + word.len()).copied();
        !is_word(before) && (!is_word(after) || !word.ends_with(char::is_alphanumeric))
    })
}

/// Every path that `use` declarations bring in, groups spelt out, with the line the declaration begins on.
fn use_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].bytes().next_back();
        if before.is_some_and(|byte| !byte.is_ascii_whitespace()) {
            continue;
        }
        let line = code[..at].lines().count().max(1) + usize::from(code[..at].ends_with('\n'));
        let tree: String =
            code[at + 4..].chars().take_while(|&c| c != ';').filter(|c| !c.is_whitespace()).collect();
        spell_out("", &tree, &mut |path| paths.push((line, path)));
    }
    paths
}

fn spell_out(prefix: &str, tree: &str, each: &mut impl FnMut(String)) {
    let Some((head, group)) = tree.split_once('{') else {
        return each(format!("{prefix}{tree}"));
    };
    let prefix = format!("{prefix}{head}");
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if start < at {
                    spell_out(&prefix, &group[start..at], each);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Code without comments and tests; texts stay, since what they say is knowledge too.
pub(super) fn shipped(text: &str) -> String {
    let tests = test_ranges(&bare(text));
    let kept = blank(text, false);
    blank_where(&kept, |at| tests.iter().any(|range| range.contains(&at)))
}

/// The tests inside a file, without comments and texts.
pub(super) fn tests_of(text: &str) -> String {
    let bare = bare(text);
    let tests = test_ranges(&bare);
    blank_where(&bare, |at| !tests.iter().any(|range| range.contains(&at)))
}

/// Code without comments and texts.
pub(super) fn bare(text: &str) -> String {
    blank(text, true)
}

/// Where the items behind `#[cfg(test)]` lie in bare code.
fn test_ranges(bare: &str) -> Vec<std::ops::Range<usize>> {
    let ends = |at: usize| {
        let mut depth = 0;
        for (step, byte) in bare[at..].bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 1 => return at + step + 1,
                b'}' => depth -= 1,
                b';' if depth == 0 => return at + step + 1,
                _ => {}
            }
        }
        bare.len()
    };
    bare.match_indices("#[cfg(test)]").map(|(at, _)| at..ends(at)).collect()
}

fn blank_where(text: &str, blanked: impl Fn(usize) -> bool) -> String {
    let keep =
        |(at, c): (usize, char)| if c != '\n' && blanked(at) { " ".repeat(c.len_utf8()) } else { c.into() };
    text.char_indices().map(keep).collect()
}

/// Blanks comments, and the insides of texts if `texts`, byte for byte and line for line.
fn blank(text: &str, texts: bool) -> String {
    let bytes = text.as_bytes();
    let mut blanked = vec![false; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let is_ident = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let (length, hide) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if rest.starts_with("/*") {
            (block_comment(rest), true)
        } else if let Some(length) = raw_text(rest).filter(|_| !is_ident) {
            (length, texts)
        } else if rest.starts_with('"') {
            (quoted(rest, '"'), texts)
        } else if let Some(length) = character(rest) {
            (length, texts)
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), false)
        };
        blanked[at..at + length].fill(hide);
        at += length;
    }
    blank_where(text, |at| blanked[at])
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of a raw text (`r"…"`, `br#"…"#`) that begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = body.bytes().take_while(|&byte| byte == b'#').count();
    let inside = body[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inside.find(&close).map_or(inside.len(), |end| end + close.len());
    Some(rest.len() - inside.len() + end)
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a character literal that begins here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let is_literal = first == '\\' || inside[first.len_utf8()..].starts_with('\'');
    is_literal.then(|| quoted(rest, '\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, bans: &[Ban], lines: &[usize]) {
        let faults = banned(&shipped(code), bans);
        let found: Vec<usize> =
            faults.iter().map(|fault| fault.split(':').next().unwrap().parse().unwrap()).collect();
        assert_eq!(found, lines, "{faults:?}");
    }

    #[test]
    fn the_core_is_pure() {
        check("use std::{fmt, fs};", CORE, &[1]);
        check("use std::{\n    collections::HashMap,\n    time::{Duration, Instant},\n};", CORE, &[1, 3]);
        check("fn f() {\n    std::thread::spawn(g);\n}", CORE, &[2]);
        check("async fn f() {}", CORE, &[1]);
        check("let now = jiff::Timestamp::now();", CORE, &[1]);
        check("use tracing::info;", CORE, &[1]);
        check("// std::fs\n/* tokio */\nlet catalog = 1;\nlet s = InstantOf;", CORE, &[]);
        check("fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", CORE, &[]);
        check("#[cfg(test)]\nmod tests;\nuse std::fs;", CORE, &[3]);
    }

    #[test]
    fn the_engine_knows_no_product() {
        check("let chat_count = 1;", ENGINE, &[1]);
        check("let e = \"cannot reach Kafka\";", ENGINE, &[1]);
        check("use rusqlite::Connection;", ENGINE, &[1, 1]);
        check("/// A Kafka partition or a chat folder.\nfn f() {}", ENGINE, &[]);
    }

    #[test]
    fn connectors_are_siblings() {
        let check = |own: &str, code: &str, expected: usize| {
            let siblings = ["folder", "ledger", "postgres", "secret", "sqlite", "tls"];
            assert_eq!(names_sibling(own, &siblings, code).count(), expected, "{own}: {code}");
        };
        check("folder", "use crate::sqlite::Store;", 1);
        check("folder", "use crate::{folder::Cut, sqlite};", 1);
        check("folder", "fn f() {\n    crate::sqlite::open()\n}", 1);
        check("folder", "use crate::folder::Cut;\n// crate::sqlite", 0);
        check("lib", "pub use crate::sqlite::Store;", 0);
        check("sqlite", "use crate::ledger::Row;", 0);
        check("postgres", "use crate::{ledger::Row, sqlite::Store};", 1);
        check("ledger", "use crate::postgres::Address;", 1);
        check("folder", "use crate::ledger::Row;", 1);
        check("folder", "use crate::{secret::Secret, tls};", 0);
        check("tls", "use crate::postgres::Address;", 1);
    }

    #[test]
    fn unfinished_code_is_found_in_tests_too() {
        let check = |code: &str, expected: usize| {
            assert_eq!(banned(&bare(code), UNFINISHED).len(), expected, "{code}");
        };
        check("fn f() { todo!() }", 1);
        check("#[test]\n#[ignore = \"slow\"]\nfn f() { dbg!(1); }", 2);
        check("let s = \"todo!()\"; // todo!()", 0);
        check("let s = r#\"dbg!(\"x\")\"#;", 0);
        check("let c = '\"'; todo!(); let d = '\"';", 1);
        check("fn f<'a>(x: &'a str) { unimplemented!() }", 1);
    }

    #[test]
    fn only_sleep_in_tests_is_found() {
        let check = |code: &str, expected: usize| {
            assert_eq!(banned(&tests_of(code), IN_TESTS).len(), expected, "{code}");
        };
        check("fn f() { std::thread::sleep(d); }", 0);
        check("#[cfg(test)]\nmod tests {\n    fn f() { thread::sleep(d); }\n}", 1);
        check("#[cfg(test)]\nmod tests {\n    use std::{thread::{self, sleep}, fmt};\n}\n", 1);
    }
}

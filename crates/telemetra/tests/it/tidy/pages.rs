//! The pages people read first: short, and true about what is there.

/// Lines that ARCHITECTURE.md stays below.
const ARCHITECTURE_LINES: usize = 250;

/// What `make` must offer.
const TARGETS: [&str; 11] =
    ["demo", "test", "check", "faults", "bench", "build", "run", "fmt", "lint", "clean", "help"];

pub(super) fn too_long(page: &str) -> Option<String> {
    let lines = page.lines().count();
    (lines >= ARCHITECTURE_LINES)
        .then(|| format!("ARCHITECTURE.md has {lines} lines, below {ARCHITECTURE_LINES}"))
}

/// The paths of the tree that a page names in backticks, and the targets of its links.
pub(super) fn paths(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    let quoted = prose.clone().flat_map(|text| text.split('`').skip(1).step_by(2));
    let linked =
        prose.flat_map(|text| text.split("](").skip(1)).filter_map(|rest| rest.split([')', '#']).next());
    quoted.chain(linked).filter(|text| is_path(text)).collect()
}

fn is_path(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let is_file = [".md", ".toml", ".rs", ".sh"].iter().any(|ending| text.ends_with(ending));
    // `data/…` and a user's own files are not part of the tree.
    let is_ours = !text.starts_with('/') && !text.starts_with("data/") && text != "telemetra.toml";
    plain
        && is_ours
        && (is_file || (text.contains('/') && text.bytes().any(|byte| byte.is_ascii_alphabetic())))
}

/// README.md opens, after its title, with exactly the two commands.
pub(super) fn opening(readme: &str) -> Option<String> {
    let mut lines = readme.lines().filter(|line| !line.trim().is_empty());
    let title = lines.next().is_some_and(|line| line.starts_with("# "));
    let is_fence = |line: Option<&str>| line.is_some_and(|line| line.starts_with("```"));
    let opens = is_fence(lines.next());
    let command = |line: Option<&str>, wanted: &str| {
        line.is_some_and(|line| line.split('#').next().is_some_and(|text| text.trim() == wanted))
    };
    let commands = command(lines.next(), "make demo") && command(lines.next(), "make test");
    let holds = title && opens && commands && is_fence(lines.next());
    (!holds)
        .then(|| "README.md must open with its title and a block of `make demo` and `make test` alone".into())
}

/// Targets that the Makefile lacks, or has without a line of help.
pub(super) fn targets(makefile: &str) -> Vec<String> {
    let has = |target: &str| {
        makefile.lines().any(|line| {
            line.split_once(':').is_some_and(|(names, rest)| names.trim() == target && rest.contains("## "))
        })
    };
    let missing = TARGETS.iter().filter(|target| !has(target));
    missing.map(|target| format!("the Makefile has no target {target} with a `## ` line of help")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_prose() {
        let page = "See `crates/x/src/lib.rs`, `Cargo.toml`, [tests](docs/a.md#top), `a::b`, `x ÷ y`, `chat/viewer`.\n\
                    ```\nnot/this.rs\n```\n`data/raw` `/etc/x` <https://example.org/>";
        assert_eq!(paths(page), ["crates/x/src/lib.rs", "Cargo.toml", "chat/viewer", "docs/a.md"]);
    }

    #[test]
    fn the_readme_opens_with_two_commands() {
        let check = |readme: &str, holds: bool| assert_eq!(opening(readme).is_none(), holds, "{readme}");
        check("# telemetra\n\n```sh\nmake demo   # shows it\nmake test\n```\n\nIt is …", true);
        check("# telemetra\n\nIt is …\n```sh\nmake demo\nmake test\n```\n", false);
        check("# telemetra\n\n```sh\nmake demo\n```\n", false);
        check("# telemetra\n\n```sh\nmake demo\nmake test\nmake bench\n```\n", false);
        check("", false);
    }

    #[test]
    fn targets_without_help_are_named() {
        assert_eq!(targets("demo: build ## Shows it\ntest:\n\tcargo test\n").len(), TARGETS.len() - 1);
    }

    #[test]
    fn architecture_can_be_too_long() {
        assert!(too_long(&"x\n".repeat(249)).is_none());
        assert!(too_long(&"x\n".repeat(250)).is_some());
    }
}

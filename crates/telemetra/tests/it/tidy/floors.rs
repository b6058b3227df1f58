//! The floors: which crate may depend on which.

use toml::{Table, Value};

/// The crates from the bottom to the top. A crate knows only those before it.
const FLOORS: [&str; 5] =
    ["telemetra-core", "telemetra-engine", "telemetra-connectors", "telemetra-cluster", "telemetra"];

/// Beside the floors: knows none of them, and they know it in tests alone.
const BESIDE: &str = "telemetra-services";

/// All that the lowest floors may depend on besides each other. A new line here is argued for in its commit.
const ALLOWED: [(&str, &[&str]); 2] = [
    (
        "telemetra-core",
        &[
            "csv",
            "foldhash",
            "hashbrown",
            "jiff",
            "memchr",
            "serde",
            "serde_json",
            "thiserror",
            "xxhash-rust",
        ],
    ),
    ("telemetra-engine", &["thiserror"]),
];

/// What is wrong with a crate's dependencies, by its `Cargo.toml`.
pub(super) fn faults(manifest: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().expect("a manifest that cargo builds is TOML");
    let name = manifest["package"]["name"].as_str().expect("a package has a name");
    if name == BESIDE {
        let known = dependencies(&manifest).into_iter().filter(|(_, known)| FLOORS.contains(&&**known));
        return known
            .map(|(_, known)| format!("{name} depends on {known}: it stands beside the floors"))
            .collect();
    }
    let Some(floor) = FLOORS.iter().position(|known| *known == name) else {
        return vec![format!("{name} has no floor: give it one in ARCHITECTURE.md and here")];
    };
    let allowed = ALLOWED.iter().find(|(of, _)| *of == name).map(|(_, list)| *list);
    let mut faults = Vec::new();
    for (section, dependency) in dependencies(&manifest) {
        if let Some(other) = FLOORS.iter().position(|known| *known == dependency) {
            if other >= floor {
                faults.push(format!("{name} depends on {dependency}: dependencies only go down the floors"));
            }
        } else if dependency == BESIDE && section != "dev-dependencies" {
            faults.push(format!("{name} depends on {BESIDE}: it is for tests"));
        } else if section != "dev-dependencies" && allowed.is_some_and(|list| !list.contains(&&*dependency)) {
            faults.push(format!("{name} depends on {dependency}, which its floor must not know"));
        }
    }
    faults
}

/// Section and package name of every dependency, those of single targets included.
fn dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let mut found = Vec::new();
    for table in tables {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                found.push((section, renamed.unwrap_or(key).to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, dependencies: &str, expected: usize) {
        let found = faults(&format!("package.name = '{name}'\n{dependencies}"));
        assert_eq!(found.len(), expected, "{found:?}");
    }

    #[test]
    fn only_downwards() {
        check("telemetra-engine", "[dependencies]\ntelemetra-core.workspace = true\nthiserror = '2'", 0);
        check("telemetra-core", "[dependencies]\ntelemetra-engine.workspace = true", 1);
        check("telemetra-services", "[dependencies]\ntelemetra-core.workspace = true\nrand = '1'", 1);
        check("telemetra", "[dependencies]\ntelemetra-services.workspace = true", 1);
        check("telemetra", "[dev-dependencies]\ntelemetra-services.workspace = true", 0);
        check("telemetra-engine", "[dev-dependencies]\ntelemetra = { path = '../telemetra' }", 1);
        check(
            "telemetra-connectors",
            "[dependencies]\nx = { package = 'telemetra-cluster', version = '1' }",
            1,
        );
        check("telemetra-new", "", 1);
    }

    #[test]
    fn the_lowest_floors_know_few_crates() {
        check("telemetra-core", "[dependencies]\ntokio = '1'", 1);
        check("telemetra-core", "[target.'cfg(unix)'.dependencies]\nlibc = '0.2'", 1);
        check("telemetra-core", "[build-dependencies]\ncc = '1'", 1);
        check("telemetra-core", "[dev-dependencies]\nproptest = '1'", 0);
        check("telemetra-connectors", "[dependencies]\nrusqlite = '0.41'", 0);
    }
}

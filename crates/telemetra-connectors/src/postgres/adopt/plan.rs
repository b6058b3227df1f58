//! Which columns change and how; what about the columns is in the way. Pure: decides from what was looked at.
//!
//! | column | taken as it is | changed | in the way |
//! |---|---|---|---|
//! | instant | `timestamptz` | `timestamp` → `timestamptz`, as local time of the zone | any other type |
//! | measure | `double precision` | `numeric`, `real`, integers → `double precision` | any other type |
//! | count | `bigint` | smaller integers → `bigint` | any other type |
//! | `id` | `bigint` | smaller integers → `bigint`, its sequence too | no default |
//! | ours alone | | added | there already |
//! | the user's own | nullable or with a default | | NOT NULL without a default |

use super::{
    look::{Old, OldColumn},
    obstacle::Obstacle,
};
use crate::postgres::{
    quote::{ident, literal},
    schema::Column,
};

/// What adoption adds: column and how. Defaults stay, so that the old job can go on writing until it is stopped.
const ADDED: [(&str, &str); 7] = [
    ("emote_counts", "jsonb"),
    ("is_final", "boolean NOT NULL DEFAULT false"),
    ("incomplete", "boolean NOT NULL DEFAULT false"),
    ("revision", "bigint NOT NULL DEFAULT 0"),
    ("batch_id", "bigint"),
    ("origin", "text"),
    ("origin_position", "bigint"),
];

/// Longest `moment_type`, characters.
const MOMENT_TYPE_CHARS: u32 = 10;

/// How a table changes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What is in the way.
    pub(super) obstacles: Vec<Obstacle>,
    /// Actions of one `ALTER TABLE`, which fit the table and each of its partitions.
    pub(super) actions: Vec<String>,
    /// Columns whose type changes.
    pub(super) changing: Vec<String>,
    /// Columns that must not be NULL, if no row has a NULL there.
    pub(super) tightened: Vec<String>,
    /// Key columns as the rows will have them: an expression over the old row each. Empty if the key has no meaning.
    pub(super) key: Vec<String>,
    /// Instants without a zone, and the zone.
    naive: Vec<String>,
    zone: String,
    /// The key column that partitions are cut by changes its type: the parent is made anew.
    pub(super) is_rebuilt: bool,
}

impl Plan {
    /// Decides about every column of a table.
    pub(super) fn new(old: &Old, zone: &str) -> Self {
        let mut plan = Self { zone: zone.into(), ..Self::default() };
        let mut is_key_sound = true;
        for column in &old.table.columns {
            let before = plan.obstacles.len();
            match (old.column(column.name), ADDED.iter().find(|(name, _)| *name == column.name)) {
                (None, Some((name, sql))) => plan.actions.push(format!("ADD COLUMN {} {sql}", ident(name))),
                (Some(_), Some((name, _))) => plan.obstacles.push(Obstacle::new(
                    format!(
                        "table {} has a column {name} already: it is telemetra's own without its ledger, or the \
                         column is yours; give the table another name, or the column",
                        old.shown
                    ),
                    old.rename_away(),
                )),
                (None, None) => plan.obstacles.push(missing(old, column)),
                (Some(held), None) => plan.column(old, column, held),
            }
            is_key_sound &= plan.obstacles.len() == before || !old.table.key.contains(&column.name);
        }
        plan.extra_columns(old);
        plan.partitions(old);
        if is_key_sound {
            plan.key = old.table.key.iter().map(|name| plan.converted(name)).collect();
        }
        plan
    }

    fn column(&mut self, old: &Old, column: &Column, held: &OldColumn) {
        let name = ident(column.name);
        if held.is_generated {
            self.obstacles.push(Obstacle::new(
                format!("column {} of table {} is generated and cannot be written", column.name, old.shown),
                format!("ALTER TABLE {} ALTER COLUMN {name} DROP EXPRESSION", old.path),
            ));
        }
        if !held.is_exact && old.table.key.contains(&column.name) {
            self.obstacles.push(Obstacle::new(
                format!(
                    "column {} of table {} takes different texts for the same by its collation",
                    column.name, old.shown
                ),
                format!("ALTER TABLE {} ALTER COLUMN {name} TYPE {} COLLATE \"C\"", old.path, held.type_name),
            ));
        }
        match becomes(column, &held.type_name) {
            Becomes::Same => {}
            Becomes::Wrong => return self.obstacles.push(wrong_type(old, column, held)),
            Becomes::Cast => self.change(column.name, &column.type_name, ""),
            Becomes::Instant => {
                if held.has_default {
                    self.actions.push(format!("ALTER COLUMN {name} DROP DEFAULT"));
                }
                let at_zone = format!(" USING {name} AT TIME ZONE {}", literal(&self.zone));
                self.change(column.name, &column.type_name, &at_zone);
                self.naive.push(column.name.into());
                // We leave `created_at` to its default, whether or not there was one.
                let is_made = held.has_default && matches!(column.name, "processed_at" | "detected_at");
                if is_made || column.name == "created_at" {
                    self.actions.push(format!("ALTER COLUMN {name} SET DEFAULT now()"));
                }
            }
        }
        if column.name == "id" && !held.has_default {
            self.obstacles.push(without_default(old, held));
        }
        if held.is_not_null && !column.is_not_null {
            self.actions.push(format!("ALTER COLUMN {name} DROP NOT NULL"));
        }
        if column.is_not_null && !held.is_not_null {
            self.tightened.push(column.name.into());
        }
    }

    fn change(&mut self, name: &str, type_name: &str, using: &str) {
        self.actions.push(format!("ALTER COLUMN {} TYPE {type_name}{using}", ident(name)));
        self.changing.push(name.into());
    }

    /// Columns of the user's own; `id` of windows is one of them.
    fn extra_columns(&mut self, old: &Old) {
        let own = |held: &&OldColumn| !old.table.columns.iter().any(|column| column.name == held.name);
        for held in old.columns.iter().filter(own) {
            if held.is_not_null && !held.has_default {
                self.obstacles.push(without_default(old, held));
            }
            if held.sequence.is_some() && is_small_integer(&held.type_name) {
                self.change(&held.name, "bigint", "");
            }
        }
        for sequence in old.columns.iter().filter_map(|held| held.sequence.as_ref()) {
            if !sequence.is_ours && !sequence.is_bigint {
                self.obstacles.push(Obstacle::new(
                    format!("sequence {} belongs to another role, and must become a bigint", sequence.path),
                    format!("ALTER SEQUENCE {} AS bigint", sequence.path),
                ));
            }
        }
    }

    /// Whether partitions leave room for the key, and for the change of its type.
    fn partitions(&mut self, old: &Old) {
        for node in old.tree.iter().filter(|node| node.kind == "p") {
            let by: Vec<_> =
                node.partitioned_by.iter().map(|name| name.as_deref().unwrap_or("an expression")).collect();
            let in_key = by.iter().all(|name| old.table.key.contains(name));
            let changes = by.iter().any(|name| self.changing.iter().any(|changing| changing == name));
            let is_root = node.parent.is_none();
            let cause = if !in_key {
                format!("the key ({}) cannot be made unique across its partitions", old.table.key.join(", "))
            } else if changes && node.strategy == "h" {
                "its rows would belong to other partitions once their instants have a zone".into()
            } else if changes
                && (!is_root || old.tree.iter().any(|inner| inner.kind == "p" && inner.parent.is_some()))
            {
                "partitions of partitions are not made anew".into()
            } else {
                self.is_rebuilt |= changes;
                continue;
            };
            self.obstacles.push(Obstacle::new(
                format!(
                    "table {} is partitioned by {}: {cause}; give the old table another name",
                    node.shown,
                    by.join(", ")
                ),
                old.rename_away(),
            ));
            return;
        }
    }

    /// A column as an expression over the old row that has the new value.
    fn converted(&self, name: &str) -> String {
        let naive = self.naive.iter().any(|naive| naive == name) && self.zone != "UTC";
        if naive { format!("({} AT TIME ZONE {})", ident(name), literal(&self.zone)) } else { ident(name) }
    }

    /// The key column that is an instant without a zone, with the zone, if local times of it may not exist.
    pub(super) fn naive_key(&self, old: &Old) -> Option<(String, String)> {
        let name = old.table.key.iter().find(|key| self.naive.iter().any(|naive| naive == *key))?;
        (self.zone != "UTC").then(|| (ident(name), literal(&self.zone)))
    }

    /// What was decided about instants, for people.
    pub(super) fn taken_as(&self) -> String {
        if self.naive.is_empty() {
            return String::new();
        }
        format!(", instants without a zone taken as {}", self.zone)
    }
}

enum Becomes {
    Same,
    /// Cast by assignment; every value comes out the same, a decimal as its nearest double.
    Cast,
    Instant,
    Wrong,
}

fn becomes(column: &Column, held: &str) -> Becomes {
    let expected = column.type_name.as_str();
    let is_number =
        is_small_integer(held) || held == "bigint" || held == "real" || held.starts_with("numeric");
    match expected {
        _ if held.ends_with("[]") && expected != "text[]" => Becomes::Wrong,
        _ if held == expected => Becomes::Same,
        "timestamp with time zone" if held.starts_with("timestamp") => {
            if held.ends_with("without time zone") { Becomes::Instant } else { Becomes::Cast }
        }
        "double precision" if is_number => Becomes::Cast,
        "bigint" if is_small_integer(held) => Becomes::Cast,
        "jsonb" if held == "json" => Becomes::Cast,
        "text[]" if held.starts_with("character varying") && held.ends_with("[]") => Becomes::Cast,
        "text" if held.starts_with("character varying") => Becomes::Cast,
        _ if expected.starts_with("character varying") => match width(held) {
            Some(chars) if column.name == "moment_type" && chars < MOMENT_TYPE_CHARS => Becomes::Wrong,
            Some(_) => Becomes::Same,
            None => Becomes::Wrong,
        },
        _ => Becomes::Wrong,
    }
}

/// Characters that a text column holds; `None` for other types.
fn width(held: &str) -> Option<u32> {
    if matches!(held, "text" | "character varying") {
        return Some(u32::MAX);
    }
    held.strip_prefix("character varying(")?.strip_suffix(')')?.parse().ok()
}

fn is_small_integer(held: &str) -> bool {
    matches!(held, "smallint" | "integer")
}

fn missing(old: &Old, column: &Column) -> Obstacle {
    let what = format!("table {} has no column {} ({})", old.shown, column.name, column.type_name);
    if old.table.key.contains(&column.name) {
        return Obstacle::new(format!("{what}: give the old table another name"), old.rename_away());
    }
    // With a sequence behind it, so that each row gets a value.
    let type_name = if column.name == "id" { "bigserial" } else { &column.type_name };
    Obstacle::new(what, format!("ALTER TABLE {} ADD COLUMN {} {type_name}", old.path, ident(column.name)))
}

fn wrong_type(old: &Old, column: &Column, held: &OldColumn) -> Obstacle {
    let what = format!(
        "column {} of table {} is {}, expected {}",
        column.name, old.shown, held.type_name, column.type_name
    );
    let name = ident(column.name);
    if let Some(target) = cast_target(column, &held.type_name) {
        let action = format!("ALTER COLUMN {name} TYPE {target} USING {name}::{target}");
        let with_default =
            if held.has_default { format!("ALTER COLUMN {name} DROP DEFAULT, ") } else { String::new() };
        return Obstacle::new(what, format!("ALTER TABLE {} {with_default}{action}", old.path));
    }
    if old.table.key.contains(&column.name) {
        return Obstacle::new(format!("{what}: give the old table another name"), old.rename_away());
    }
    let away = ident(&format!("{}_before_telemetra", column.name));
    let obstacle = Obstacle::new(
        format!("{what}: give the column another name"),
        format!("ALTER TABLE {} ALTER COLUMN {name} DROP NOT NULL", old.path),
    );
    obstacle
        .and(format!("ALTER TABLE {} RENAME COLUMN {name} TO {away}", old.path))
        .and(format!("ALTER TABLE {} ADD COLUMN {name} {}", old.path, column.type_name))
}

/// The type that a column can be cast to so that adoption takes it; `None` if there is no such cast.
fn cast_target<'a>(column: &'a Column, held: &str) -> Option<&'a str> {
    let is_array = held.ends_with("[]");
    let is_text = matches!(held, "text" | "citext") || held.starts_with("character") && !is_array;
    let is_number = is_small_integer(held)
        || matches!(held, "bigint" | "real" | "double precision")
        || held.starts_with("numeric") && !is_array;
    match column.type_name.as_str() {
        // Without a zone, so that --adopt-timezone speaks for it as for the others.
        "timestamp with time zone" if is_text || held == "date" => Some("timestamp"),
        "bigint" | "double precision" if is_text || is_number => Some(&column.type_name),
        "boolean" if is_text || held == "integer" => Some("boolean"),
        "jsonb" if is_text => Some("jsonb"),
        "text[]" if is_array => Some("text[]"),
        text if text == "text" || text.starts_with("character varying") => Some(text),
        _ => None,
    }
}

/// A column that no row of ours gives a value to.
fn without_default(old: &Old, held: &OldColumn) -> Obstacle {
    let what = format!(
        "column {} of table {} has no default and would get no value from telemetra",
        held.name, old.shown
    );
    let (column, table) = (ident(&held.name), &old.path);
    if is_small_integer(&held.type_name) || held.type_name == "bigint" {
        let sequence = format!(
            "{}.{}",
            ident(&old.schema),
            ident(&format!("{}_{}_telemetra_seq", old.table.name, held.name))
        );
        let next = format!("(SELECT coalesce(max({column}), 0) + 1 FROM {table})");
        return Obstacle::new(what, format!("CREATE SEQUENCE {sequence} OWNED BY {table}.{column}"))
            .and(format!("SELECT setval({}, {next}, false)", literal(&sequence)))
            .and(format!(
                "ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT nextval({})",
                literal(&sequence)
            ));
    }
    if held.is_in_primary_key {
        return Obstacle::new(format!("{what}; it is part of the primary key"), old.rename_away());
    }
    Obstacle::new(what, format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::schema;

    /// What becomes of a column of ours when the old job made it as `held`.
    fn check(column: &str, held: &str, expected: &str) {
        let tables = schema::tables();
        let columns = tables.iter().filter(|table| table.is_adoptable()).flat_map(|table| &table.columns);
        let column = columns.into_iter().find(|known| known.name == column).expect("a column of ours");
        let found = match becomes(column, held) {
            Becomes::Same => "same",
            Becomes::Cast => "cast",
            Becomes::Instant => "instant",
            Becomes::Wrong => cast_target(column, held).unwrap_or("wrong"),
        };
        assert_eq!(found, expected, "{} {held}", column.name);
    }

    #[test]
    fn types_are_taken_changed_or_refused() {
        check("window_start", "timestamp without time zone", "instant");
        check("window_start", "timestamp(3) without time zone", "instant");
        check("window_start", "timestamp with time zone", "same");
        check("window_start", "timestamp(0) with time zone", "cast");
        check("window_start", "timestamp without time zone[]", "wrong");
        check("window_start", "character varying(30)", "timestamp");
        check("window_start", "bigint", "wrong");
        check("avg_sentiment", "numeric(10,2)", "cast");
        check("avg_sentiment", "real", "cast");
        check("avg_sentiment", "double precision", "same");
        check("avg_sentiment", "numeric(10,2)[]", "wrong");
        check("avg_sentiment", "money", "wrong");
        check("chat_count", "integer", "cast");
        check("chat_count", "numeric(10,0)", "bigint");
        check("top_emotes", "text[]", "same");
        check("top_emotes", "character varying(64)[]", "cast");
        check("top_emotes", "json", "wrong");
        check("stream_id", "text", "same");
        check("stream_id", "character varying(64)", "same");
        check("stream_id", "character varying(64)[]", "character varying(255)");
        check("stream_id", "integer", "character varying(255)");
        check("moment_type", "character varying(9)", "character varying(50)");
        check("moment_type", "character varying(10)", "same");
        check("description", "character varying(500)", "cast");
        check("metadata", "json", "cast");
        check("is_anomaly", "integer", "boolean");
    }
}

//! What is in the way of adoption, and the SQL that clears it. All of it is named at once: who runs the SQL of one
//! refusal does not meet the next.

/// Who may change most objects.
const OWNER: &str = "the owner of the object or a superuser";
/// Who may give a table to another role.
pub(super) const SUPERUSER: &str = "a superuser";

/// One thing in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::postgres) struct Obstacle {
    /// The sentence, without a full stop.
    pub(in crate::postgres) what: String,
    /// Statements that clear it, without `;`.
    pub(super) clear: Vec<String>,
    /// Who may run those: roles, in words.
    pub(super) runs_as: &'static str,
    /// Statements that bring back, after adoption, what clearing took away.
    pub(super) afterwards: Vec<String>,
}

impl Obstacle {
    pub(in crate::postgres) fn new(what: impl Into<String>, clear: impl Into<String>) -> Self {
        Self { what: what.into(), clear: vec![clear.into()], runs_as: OWNER, afterwards: Vec::new() }
    }

    /// Names who may run what clears it, where the object's owner is not who.
    pub(in crate::postgres) fn runs_as(mut self, roles: &'static str) -> Self {
        self.runs_as = roles;
        self
    }

    pub(super) fn and(mut self, clear: impl Into<String>) -> Self {
        self.clear.push(clear.into());
        self
    }

    pub(super) fn afterwards(mut self, sql: impl Into<String>) -> Self {
        self.afterwards.push(sql.into());
        self
    }
}

/// All obstacles as one text. The SQL stands indented by four; taken out of the text as it is, it clears the way.
pub(super) fn refusal(obstacles: &[Obstacle]) -> String {
    let things = if obstacles.len() == 1 { "one thing is" } else { "these things are" };
    let mut text = format!(
        "the tables of the old job were not adopted and nothing was changed: {things} in the way. \
         Run the SQL below it, then `telemetra migrate` again"
    );
    for (at, obstacle) in obstacles.iter().enumerate() {
        text += &format!("\n{}. {}\n   as {}:", at + 1, obstacle.what, obstacle.runs_as);
        for sql in &obstacle.clear {
            text += &format!("\n{};", indented("    ", sql));
        }
    }
    // What stands on something else went first and comes back last.
    for (at, sql) in obstacles.iter().rev().flat_map(|obstacle| &obstacle.afterwards).enumerate() {
        if at == 0 {
            text +=
                "\nThis brings back what the SQL above takes away; run it after the adoption as a superuser:";
        }
        text += &format!("\n{};", indented("    -- ", sql.trim_end_matches([';', '\n', ' '])));
    }
    text
}

fn indented(by: &str, sql: &str) -> String {
    sql.lines().map(|line| format!("{by}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_can_be_taken_out_of_the_text() {
        let view = Obstacle::new("view v reads it", "DROP VIEW v").afterwards("CREATE VIEW v AS\n SELECT 1;");
        let rule = Obstacle::new("a rule", "DROP RULE r").afterwards("CREATE RULE r");
        let text = refusal(&[view, Obstacle::new("no right", "GRANT a TO b").and("GRANT c TO b"), rule]);
        let sql: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        let expected = [
            "DROP VIEW v;",
            "GRANT a TO b;",
            "GRANT c TO b;",
            "DROP RULE r;",
            "-- CREATE RULE r;",
            "-- CREATE VIEW v AS",
            "--  SELECT 1;",
        ];
        assert_eq!(sql, expected);
        assert!(
            text.contains("\n1. view v reads it\n   as the owner") && text.contains("\n2. no right\n   as "),
            "{text}"
        );
    }
}

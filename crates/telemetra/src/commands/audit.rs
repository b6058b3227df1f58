//! `audit`: the law of the ledger, clause by clause, for people and as JSON.
//!
//! What must be equal is the engine's to say ([`telemetra_engine::audit`]); here it is only told.

use serde_json::{Value, json};
use telemetra_engine::audit::{Check, Clause, Report};

use crate::{
    exit::Exit,
    out::{self, grouped, plain, table, whole},
    settings::Settings,
    wiring,
};

/// Imbalances of one clause that people are shown; JSON has all that were kept.
const SHOWN_MAX: usize = 10;

/// `audit`.
///
/// # Errors
/// When the store cannot be read, or has no job of the name asked for.
pub fn audit(settings: &Settings, json: bool) -> anyhow::Result<Exit> {
    let reports = wiring::audit(settings)?;
    let store = settings.store.to_string();
    out::line(&if json {
        serde_json::to_string_pretty(&as_json(&store, &reports))?
    } else {
        text(&store, &reports)
    });
    Ok(if reports.iter().all(Report::is_balanced) { Exit::Done } else { Exit::Imbalance })
}

fn text(store: &str, reports: &[Report]) -> String {
    let mut text = format!("store {}\n", plain(store));
    if reports.is_empty() {
        text.push_str("no job has run here yet: nothing to audit\n");
    }
    for report in reports {
        text.push_str(&format!("\njob {}\n", plain(&report.job)));
        let rows: Vec<_> = report.checks.iter().map(clause_row).collect();
        text.push_str(&table(&rows));
        for check in &report.checks {
            for imbalance in check.imbalances.iter().take(SHOWN_MAX) {
                text.push_str(&format!("  {}\n", whole(&imbalance.to_string())));
            }
            let more = check.failed.saturating_sub(SHOWN_MAX as u64);
            if more > 0 {
                text.push_str(&format!("  {}: and {} more\n", check.clause.name(), grouped(more)));
            }
        }
        for remark in &report.remarks {
            text.push_str(&format!("  note: {}\n", whole(remark)));
        }
        text.push_str(&verdict(report));
    }
    text
}

fn clause_row(check: &Check) -> Vec<String> {
    let mark = if check.failed == 0 { "  ok" } else { "  FAILED" };
    let compared = match check.failed {
        0 => grouped(check.compared),
        failed => format!("{} of {}", grouped(failed), grouped(check.compared)),
    };
    vec![mark.into(), check.clause.name().into(), compared, check.clause.demands().into()]
}

fn verdict(report: &Report) -> String {
    let broken = report.checks.iter().filter(|check| check.failed > 0).count();
    let compared = grouped(report.checks.iter().map(|check| check.compared).sum());
    let clauses = Clause::ALL.len();
    match broken {
        0 => format!("balanced: {compared} comparisons under {clauses} clauses, all equal\n"),
        _ => format!("NOT balanced: {broken} of {clauses} clauses fail\n"),
    }
}

fn as_json(store: &str, reports: &[Report]) -> Value {
    let side = |side: telemetra_engine::audit::Side| json!({"value": side.0.to_string(), "is": side.1});
    let clause = |check: &Check| {
        let imbalances: Vec<Value> = check
            .imbalances
            .iter()
            .map(|one| json!({"place": one.place, "found": side(one.found), "expected": side(one.expected)}))
            .collect();
        json!({
            "clause": check.clause.name(),
            "demands": check.clause.demands(),
            "compared": check.compared,
            "failed": check.failed,
            "imbalances": imbalances,
        })
    };
    let job = |report: &Report| {
        let clauses: Vec<Value> = report.checks.iter().map(clause).collect();
        json!({
            "job": report.job,
            "balanced": report.is_balanced(),
            "clauses": clauses,
            "remarks": report.remarks,
        })
    };
    let jobs: Vec<Value> = reports.iter().map(job).collect();
    json!({"store": store, "balanced": reports.iter().all(Report::is_balanced), "jobs": jobs})
}

#[cfg(test)]
mod tests {
    use telemetra_engine::audit::Side;

    use super::*;

    #[test]
    fn an_audit_says_which_clause_fails_where_and_with_what_values() {
        let mut report = Report::new("chat");
        let place = || "batch 7".to_owned();
        report.compare(Clause::LateEvents, place, Side::new(3, "rows"), Side::new(3, "found late"));
        let good = text("sqlite:x", &[report.clone()]);
        assert!(good.contains("balanced: 1 comparisons") && !good.contains("NOT"), "{good}");
        report.remark("3 rows adopted");
        let noted = text("sqlite:x", &[report.clone()]);
        assert!(noted.contains("note: 3 rows adopted") && !noted.contains("NOT"), "{noted}");
        report.compare(Clause::LateEvents, place, Side::new(2, "rows"), Side::new(3, "found late"));
        let bad = text("sqlite:x", &[report.clone()]);
        assert!(bad.contains("late_events: batch 7: rows is 2, found late is 3: -1"), "{bad}");
        assert!(bad.contains("NOT balanced: 1 of 15 clauses fail"), "{bad}");
        let json = as_json("sqlite:x", &[report]);
        assert_eq!((&json["balanced"], &json["jobs"][0]["clauses"][8]["failed"]), (&json!(false), &json!(1)));
        assert!(text("sqlite:x", &[]).contains("nothing to audit"));
    }
}

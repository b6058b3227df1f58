//! The policy, class by class.

use super::*;

#[test]
fn each_sqlstate_has_its_verdict() {
    let check = |verdict: Verdict, codes: &[&str]| {
        for code in codes {
            assert_eq!(policy(&SqlState::from_code(code)).0, verdict, "{code}");
        }
    };
    // Passing: rollback, locks, connections, operators, resources, failover, the server's system.
    check(Retry, &["40000", "40001", "40003", "40P01", "55P03", "55006"]);
    check(Retry, &["08000", "08001", "08003", "08004", "08006", "08007", "08P01"]);
    check(Retry, &["57000", "57P01", "57P02", "57P03", "57P04", "57P05"]);
    check(Retry, &["53000", "53100", "53200", "53300", "53400", "58000", "58030", "58P01"]);
    check(Retry, &["25006", "25P02", "25P03", "0A000"]);
    check(TooLarge, &["57014", "25P04"]);
    check(Refused, &["28000", "28P01", "3D000"]);
    check(
        Halt,
        &["2200H", "22001", "22003", "22P02", "22P05", "22021", "23502", "23503", "23505", "23514", "40002"],
    );
    check(Halt, &["42P01", "42703", "42804", "42601", "42501", "3F000", "44000"]);
    check(Halt, &["XX000", "XX001", "XX002", "P0001", "54000", "54001", "26000", "42P05", "25001", "0B000"]);
    check(Halt, &["HV000", "", "4", "99999", "äö"]);
}

#[test]
fn halts_name_the_way_on() {
    let next = |code: &str| policy(&SqlState::from_code(code)).1;
    assert!(next("42P01").contains("`telemetra migrate`"));
    assert!(next("3F000").contains("`telemetra migrate`"));
    assert!(next("42501").contains("--print-roles"));
    assert!(next("XX001").contains("restore"));
    assert!(next("26000").contains("pooler"));
    assert!(next("53300").contains("limit"));
    for (code, verdict, next) in POLICY {
        // What passes by itself may have one.
        assert!(matches!(verdict, Retry | TooLarge) || !next.is_empty(), "{code} needs a way on");
    }
}

#[test]
fn no_entry_stands_twice() {
    for (at, (code, ..)) in POLICY.iter().enumerate() {
        assert!(matches!(code.len(), 2 | 5), "{code}");
        assert!(!POLICY[at + 1..].iter().any(|(other, ..)| other == code), "{code}");
    }
}

#[test]
fn what_is_ours_to_say_is_judged_without_a_server() {
    let away = || Failure::Away("db:5432 cannot be reached".into());
    let late = || Failure::TimedOut(Duration::from_secs(5));
    let refused = || Failure::Refused("the password is wrong".into());
    assert!(matches!(away().into_sink_error(), SinkError::NotApplied(_)));
    assert!(matches!(late().into_sink_error(), SinkError::NotApplied(_)));
    assert!(matches!(late().of_a_batch().into_sink_error(), SinkError::TooLarge(_)), "it is planned smaller");
    assert!(matches!(away().of_a_batch().into_sink_error(), SinkError::NotApplied(_)));
    assert!(matches!(refused().into_sink_error(), SinkError::NotApplied(_)), "a run that has begun goes on");
    assert!(matches!(refused().at_first_start(), SinkError::Halt(_)), "a user is told at once");
    assert!(matches!(away().at_first_start(), SinkError::NotApplied(_)));
    for open in [away(), late(), refused()] {
        assert!(matches!(open.at_commit(3), SinkError::InDoubt(_)));
    }
    let fenced = Failure::Stop(SinkError::Fenced("epoch 2".into()));
    assert!(matches!(fenced.at_commit(3), SinkError::Fenced(_)));
    assert_eq!(late().to_string(), "no answer from PostgreSQL within 5 s");
}

#[test]
fn one_line_is_one_line() {
    assert_eq!(one_line("a\r\nb\u{2028}c\u{1b}[31m"), "a  b c [31m");
    let long = one_line(&"ä".repeat(2 * SHOWN_CHARS_MAX));
    assert_eq!(long.chars().count(), SHOWN_CHARS_MAX + 1);
}

//! Sessions against a fake server: limits close them, warnings come through, unfit servers are passed by.

use tokio_postgres::error::SqlState;

use super::*;
use crate::postgres::{
    fake::{Event, Fake, PID, Script},
    flight::commit_and_ask,
};

/// Enough for what never hangs.
const LONG: Duration = Duration::from_secs(30);
/// What hangs waits so long.
const SHORT: Duration = Duration::from_millis(50);

fn address(ports: &[u16], more: &str) -> Address {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    Address::parse(&format!("postgres://u:canary@{}/d{more}", hosts.join(","))).expect("an address")
}

fn open(script: Script) -> (Fake, Result<Session, Failure>) {
    let fake = Fake::start(script);
    let session = Session::open(&address(&[fake.port], ""), "telemetra chat");
    (fake, session)
}

fn execute(session: &Session, limit: Duration, sql: &str) -> Result<(), Failure> {
    session.run(limit, async |client| Ok(client.batch_execute(sql).await?))
}

#[test]
fn a_call_that_exceeds_its_limit_is_cancelled_and_closes_the_session() {
    let (fake, session) = open(Script::default());
    let session = session.expect("it connects");
    assert_eq!(session.facts().pid, PID);
    assert_eq!(session.facts().backend_start_us, Some(1_700_000_000_000_001));
    assert_eq!(session.facts().version_num, 150_004);
    execute(&session, LONG, "SELECT 1").expect("it answers");
    assert!(matches!(execute(&session, SHORT, "hang"), Err(Failure::TimedOut(_))));
    assert!(session.is_closed());
    match execute(&session, LONG, "SELECT 1") {
        Err(Failure::Away(text)) => assert!(text.contains("has ended: no answer"), "{text}"),
        other => panic!("{other:?}"),
    }
    let mut seen: Vec<Event> = fake.events.iter().take(3).collect();
    seen.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(seen, [Event::Cancel(PID), Event::Gone, Event::Hanging]);
}

#[test]
fn a_commit_that_hangs_is_not_cancelled() {
    let (fake, session) = open(Script::default());
    let session = session.expect("it connects");
    let done = session.run_uncancelled(SHORT, async |client| Ok(client.batch_execute("hang").await?));
    assert!(matches!(done, Err(Failure::TimedOut(_))));
    assert_eq!(fake.events.iter().take(2).collect::<Vec<_>>(), [Event::Hanging, Event::Gone]);
}

#[test]
fn a_dropped_session_closes_its_socket() {
    let (fake, session) = open(Script::default());
    let session = session.expect("it connects");
    // Polled once, so that the statement is on its way, then left.
    let done: Result<(), Failure> = session.run(LONG, async |client| {
        let mut asked = std::pin::pin!(client.batch_execute("hang"));
        poll_fn(|cx| {
            _ = asked.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        while fake.events.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    done.expect("nothing failed");
    drop(session);
    assert_eq!(fake.events.recv(), Ok(Event::Gone));
}

#[test]
fn warnings_are_kept_until_they_are_taken_and_bounded() {
    let (_fake, session) = open(Script::default());
    let session = session.expect("it connects");
    assert_eq!(session.take_warnings(), Vec::<String>::new());
    execute(&session, LONG, "warn").expect("it answers");
    let warnings = session.take_warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("SQLSTATE 01000"), "{warnings:?}");
    assert_eq!(session.take_warnings(), Vec::<String>::new(), "taken once");
    for _ in 0..WARNINGS_MAX + 5 {
        execute(&session, LONG, "warn").expect("it answers");
    }
    assert_eq!(session.take_warnings().len(), WARNINGS_MAX);
}

#[test]
fn servers_that_cannot_serve_are_refused_or_waited_for() {
    let check = |script: Script, refused: bool, words: &str| match open(script).1 {
        Err(Failure::Refused(text)) if refused => assert!(text.contains(words), "{text}"),
        Err(Failure::Away(text)) if !refused => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    };
    check(Script { version_num: "120019", ..Script::default() }, true, "13 is the oldest");
    check(Script { encoding: "SQL_ASCII", ..Script::default() }, true, "encoded as SQL_ASCII");
    check(Script { in_recovery: true, read_only: true, ..Script::default() }, false, "is a standby");
    check(Script { read_only: true, ..Script::default() }, false, "default_transaction_read_only");
    check(Script { refuses: Some("28P01"), ..Script::default() }, true, "SQLSTATE 28P01");
    check(Script { refuses: Some("57P03"), ..Script::default() }, false, "SQLSTATE 57P03");
    check(Script { refuses: Some("53300"), ..Script::default() }, false, "SQLSTATE 53300");
}

#[test]
fn the_first_host_that_will_do_is_taken() {
    let standby = Fake::start(Script { in_recovery: true, read_only: true, ..Script::default() });
    let primary = Fake::start(Script::default());
    let hosts = [standby.port, primary.port];
    let place = |session: Result<Session, Failure>| session.expect("it connects").place().to_owned();
    let there = |port: u16| format!("127.0.0.1:{port}");
    assert_eq!(place(Session::open(&address(&hosts, ""), "")), there(primary.port), "to write");
    assert_eq!(place(Session::open_read_only(&address(&hosts, ""), "")), there(standby.port), "to read");
    let target = "?target_session_attrs=read-write";
    assert_eq!(place(Session::open_read_only(&address(&hosts, target), "")), there(primary.port));
    let wrong = Fake::start(Script { refuses: Some("28P01"), ..Script::default() });
    match Session::open(&address(&[wrong.port, primary.port], ""), "") {
        Err(Failure::Refused(text)) => assert!(!text.contains("canary"), "{text}"),
        other => panic!("a wrong password is not tried on the next host: {other:?}"),
    }
}

#[test]
fn errors_are_told_with_their_host_and_judged_at_commit_by_what_the_server_said() {
    use telemetra_engine::sink::SinkError;
    let (fake, session) = open(Script::default());
    let session = session.expect("it connects");
    let fail = |how: &str| execute(&session, LONG, &format!("fail {how}")).expect_err("it fails");
    let failure = fail("ERROR 23505");
    assert_eq!(failure.state(), Some(&SqlState::UNIQUE_VIOLATION));
    match failure.into_sink_error() {
        SinkError::Halt(text) => {
            let place = format!("127.0.0.1:{}", fake.port);
            for part in [place.as_str(), "constraint moments_pkey", "table moments", "SQLSTATE 23505"] {
                assert!(text.contains(part), "{part} is missing in {text}");
            }
            assert!(!text.contains("Key (id)") && !text.contains('\n'), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let value = fail("ERROR 22P02").into_sink_error().to_string();
    assert!(value.contains("SQLSTATE 22P02") && !value.contains("row data"), "{value}");
    let at_commit = |how: &str| fail(how).at_commit(7);
    assert!(matches!(at_commit("ERROR 40001"), SinkError::NotApplied(_)), "rolled back for certain");
    assert!(matches!(at_commit("ERROR 25P02"), SinkError::NotApplied(_)));
    assert!(matches!(at_commit("ERROR 23505"), SinkError::Halt(_)));
    assert!(matches!(at_commit("ERROR 57014"), SinkError::TooLarge(_)));
    for doubt in ["FATAL 57P01", "FATAL 40001", "PANIC 53100", "ERROR 53100", "ERROR 08006", "ERROR 40003"] {
        match at_commit(doubt) {
            SinkError::InDoubt(text) => assert!(text.contains("batch 7"), "{text}"),
            other => panic!("{doubt}: {other:?}"),
        }
    }
    assert!(matches!(
        execute(&session, SHORT, "hang").expect_err("hangs").at_commit(7),
        SinkError::InDoubt(_)
    ));
    assert!(matches!(execute(&session, SHORT, "x").expect_err("closed").at_commit(7), SinkError::InDoubt(_)));
}

#[test]
fn an_error_behind_an_answered_commit_is_one_of_the_question_alone() {
    use telemetra_engine::sink::SinkError;
    let (_fake, session) = open(Script::default());
    let session = session.expect("it connects");
    let ask = |question: &str| session.run(LONG, async |client| commit_and_ask(client, question).await);
    assert!(!ask("nothing").expect("it answers"), "no row");
    assert!(ask("server_version_num").expect("it answers"), "a row");
    for how in ["ERROR 55P03", "ERROR 57014", "ERROR 40001", "FATAL 57P01"] {
        match ask(&format!("fail {how}")).expect_err("it fails").at_commit(7) {
            SinkError::InDoubt(text) => assert!(text.contains("COMMIT was answered"), "{text}"),
            other => panic!("{how}: {other:?}"),
        }
    }
}

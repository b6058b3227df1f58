//! Rows that the table refuses, one by one, and rows that others write meanwhile.

use std::thread;

use telemetra_engine::sink::SinkError;
use telemetra_services::eventually;

use super::*;

/// Has the table refuse rows of 13.13.
trait Refusing: Store {
    /// The code under which they are refused.
    const CODE: &'static str;

    fn refuse_thirteen(&self);
}

impl Refusing for Lite {
    const CODE: &'static str = "sqlstate:23000";

    fn refuse_thirteen(&self) {
        self.sql(
            "CREATE TRIGGER no_thirteen BEFORE INSERT ON user_events WHEN new.price = 1313
             BEGIN SELECT raise(ABORT, 'no'); END",
        );
    }
}

impl Refusing for Pg {
    const CODE: &'static str = "sqlstate:23514";

    fn refuse_thirteen(&self) {
        self.sql("ALTER TABLE user_events ADD CONSTRAINT no_thirteen CHECK (price <> 13.13)");
    }
}

fn one_among_ten_thousand_good_rows<S: Refusing>() {
    let mut shop = Shop::<S>::new();
    shop.store.refuse_thirteen();
    let mut words: Vec<String> = (0..10_000).map(|number| format!("e{number}=1")).collect();
    words.insert(6_789, "bad=1313".into());
    assert_eq!(shop.commit(&words.join(" ")), [10_000, 0, 0, 1]);
    assert_eq!(shop.rejected(), format!("6789 {} bad=1313 0.csv 6791 67890 67899 1", S::CODE));
    shop.assert_balanced();
}

fn whoever_is_refused_takes_no_part<S: Refusing>() {
    let mut shop = Shop::<S>::new();
    shop.store.refuse_thirteen();
    assert_eq!(shop.commit("x=1313 a=1313 a=2 a=3 a=2 y=1313"), [1, 1, 1, 3]);
    let codes = shop.store.text("SELECT \"offset\", codes FROM rejected_events ORDER BY \"offset\"");
    let code = S::CODE;
    assert_eq!(codes, format!("0 {code}\n1 {code}\n3 duplicate_conflict\n5 {code}"));
    shop.assert_balanced();
}

/// A producer that gives thousands of events one id.
fn one_id_again_and_again<S: Refusing>() {
    let mut shop = Shop::<S>::new();
    shop.store.refuse_thirteen();
    let again = |price: &str, count: usize| format!("null={price} ").repeat(count);
    assert_eq!(shop.commit("null=1 b=1"), [2, 0, 0, 0]);
    let words = format!("{}{}c=1", again("1", 2_000), again("2", 3_000));
    assert_eq!(shop.commit(&words), [1, 2_000, 3_000, 0]);
    // None of them can be a row.
    let words = words.replace("null=1 ", "void=1313 ").replace("null=2 ", "void=1313 ").replace("c=", "d=");
    assert_eq!(shop.commit(&words), [1, 0, 0, 5_000]);
    shop.assert_balanced();
}

on_both![one_among_ten_thousand_good_rows, whoever_is_refused_takes_no_part, one_id_again_and_again,];

#[test]
fn what_is_no_rows_fault_stops_the_job() {
    let check = |sql: &str, word: &str, mend: &str| {
        let mut shop = Shop::<Pg>::new();
        let words: Vec<String> = (1..=100).map(|number| format!("{number}=1")).collect();
        assert_eq!(shop.commit(&words.join(" ")), [100, 0, 0, 0]);
        shop.store.sql(sql);
        let batch = shop.batch("d=1 e=1 f=1");
        let error = shop.sink.commit(&batch).expect_err("no row can be inserted");
        assert!(matches!(&error, SinkError::Halt(text) if text.contains(word)), "{sql}: {error:?}");
        assert_eq!(shop.store.text("SELECT count(*) FROM rejected_events"), "0");
        shop.store.sql(mend);
        assert_eq!(shop.commit("d=1 e=1 f=1"), [3, 0, 0, 0]);
    };
    let sequence = "pg_get_serial_sequence('user_events', 'id')";
    check(
        &format!("SELECT setval({sequence}, 1)"),
        "setval",
        &format!("SELECT setval({sequence}, (SELECT max(id) FROM user_events))"),
    );
    check(
        "ALTER TABLE user_events ALTER COLUMN id SET MAXVALUE 101",
        "sequence",
        "ALTER TABLE user_events ALTER COLUMN id SET NO MAXVALUE",
    );
    check(
        "ALTER TABLE user_events ADD COLUMN till text; UPDATE user_events SET till = '';
         ALTER TABLE user_events ALTER COLUMN till SET NOT NULL",
        "till",
        "ALTER TABLE user_events ALTER COLUMN till DROP NOT NULL",
    );
}

/// A trigger on new rows of 13.13 that runs `body`.
fn on_thirteen(body: &str) -> Shop<Pg> {
    let shop = Shop::<Pg>::new();
    shop.store.sql(&format!(
        "CREATE FUNCTION thirteen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
         CREATE TRIGGER thirteen BEFORE INSERT ON user_events
             FOR EACH ROW WHEN (new.price = 13.13) EXECUTE FUNCTION thirteen()"
    ));
    shop
}

#[test]
fn what_a_trigger_refuses_is_named_by_its_sqlstate() {
    let check = |body: &str, code: &str| {
        let mut shop = on_thirteen(body);
        assert_eq!(shop.commit("a=1 b=1313 c=1"), [2, 0, 0, 1], "{body}");
        assert_eq!(shop.store.text("SELECT codes, raw FROM rejected_events"), format!("{code} b=1313"));
        shop.assert_balanced();
    };
    check("RAISE EXCEPTION 'no';", "sqlstate:P0001");
    check("RAISE EXCEPTION 'no' USING ERRCODE = '22003';", "sqlstate:22003");
    // Without a word.
    check("RETURN NULL;", "sqlstate:02000");
}

#[test]
fn what_a_constraint_refuses_only_at_commit_is_found_too() {
    let mut shop = Shop::<Pg>::new();
    shop.store.sql(
        "CREATE TABLE product (id text PRIMARY KEY); INSERT INTO product VALUES ('p');
         ALTER TABLE user_events ADD FOREIGN KEY (product_id) REFERENCES product DEFERRABLE INITIALLY DEFERRED",
    );
    assert_eq!(shop.commit("a=1 b=1/u/view/other c=1"), [2, 0, 0, 1]);
    assert_eq!(shop.store.text("SELECT codes FROM rejected_events"), "sqlstate:23503");
    shop.assert_balanced();
}

#[test]
fn a_trigger_that_rolls_everything_back_stops_the_job() {
    let mut shop = Shop::<Lite>::new();
    assert_eq!(shop.commit("a=1"), [1, 0, 0, 0]);
    shop.store.sql(
        "CREATE TRIGGER all_of_it BEFORE INSERT ON user_events WHEN new.price = 1313
         BEGIN SELECT raise(ROLLBACK, 'no'); END",
    );
    let batch = shop.batch("b=1 c=1313 d=1");
    let error = shop.sink.commit(&batch).expect_err("it cannot be written");
    assert!(matches!(&error, SinkError::Halt(text) if text.contains("RAISE(ABORT")), "{error:?}");
    shop.assert_balanced();
    shop.store.sql("DROP TRIGGER all_of_it");
    assert_eq!(shop.commit("b=1 c=1313 d=1"), [3, 0, 0, 0]);
}

#[test]
fn an_outage_is_never_mistaken_for_bad_data() {
    let check = |state: &str, is_it: fn(&SinkError) -> bool| {
        let mut shop = on_thirteen(&format!("RAISE EXCEPTION 'no' USING ERRCODE = '{state}';"));
        let batch = shop.batch("a=1 b=1313 c=1");
        let error = shop.sink.commit(&batch).expect_err("it cannot be written");
        assert!(is_it(&error), "{state}: {error:?}");
        assert_eq!(shop.store.text("SELECT count(*) FROM user_events"), "0");
        assert_eq!(shop.store.text("SELECT count(*) FROM rejected_events"), "0");
        shop.store.sql("DROP TRIGGER thirteen ON user_events");
        assert_eq!(shop.commit("a=1 b=1313 c=1"), [3, 0, 0, 0]);
    };
    let is_passing = |error: &SinkError| matches!(error, SinkError::NotApplied(_));
    check("53100", is_passing);
    check("40001", is_passing);
    check("57P01", is_passing);
    check("57014", |error| matches!(error, SinkError::TooLarge(_)));
    check("42501", |error| matches!(error, SinkError::Halt(_)));
}

/// Another writer inserts `b` and ends with `end` while a batch waits for it.
#[track_caller]
fn beside(price: &str, end: &str, words: &str, expected: [u64; 4]) {
    let mut shop = Shop::<Pg>::new();
    let mut other = shop.store.0.client();
    let insert = format!(
        "BEGIN; INSERT INTO user_events (event_id, user_id, product_id, product_name, category, price, event_type,
             event_timestamp)
         VALUES ('b', 'u', 'p', 'Crème, 2 m', 'Home', {price}, 'view', '2025-01-01T00:00:00Z')"
    );
    other.batch_execute(&insert).expect("the id is new");
    let mut watching = shop.store.0.client();
    let batch = shop.batch(words);
    let applied = thread::scope(|scope| {
        let committing = scope.spawn(|| shop.sink.commit(&batch));
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'telemetra commerce' AND wait_event_type = 'Lock'";
        eventually("the batch waits for the other writer", || {
            watching.query_opt(waiting, &[]).expect("a query")
        });
        other.batch_execute(end).expect("it is the other's own");
        committing.join().expect("no panic").expect("it adds up")
    });
    assert_eq!(numbers(applied), expected, "{price} {end}");
    shop.done(&batch);
    let report = shop.store.audit();
    assert!(report.is_balanced(), "{:#?}", report.imbalances().collect::<Vec<_>>());
    let of_others = i32::from(end == "COMMIT");
    assert_eq!(report.remarks.len() as i32, of_others);
}

#[test]
fn another_writers_row_is_a_duplicate_or_a_conflict() {
    beside("0.02", "COMMIT", "a=1 b=2 c=3", [2, 1, 0, 0]);
    beside("9.99", "COMMIT", "a=1 b=2 c=3", [2, 0, 1, 0]);
    beside("9.99", "ROLLBACK", "a=1 b=2 c=3", [3, 0, 0, 0]);
    // The other's row is that of a later candidate of this id.
    beside("0.05", "COMMIT", "a=1 b=2 b=5 b=2 c=3", [2, 1, 2, 0]);
}

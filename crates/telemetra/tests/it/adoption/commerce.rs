//! The old commerce job's `user_events` with its five views: adopted, written beside, audited.

use telemetra_services::postgres::Postgres;

use crate::support::{Telemetra, fixture};

const OLD: &str = "
CREATE TABLE user_events (
    id SERIAL PRIMARY KEY,
    event_id VARCHAR(50) UNIQUE NOT NULL,
    user_id VARCHAR(50) NOT NULL,
    product_id VARCHAR(50) NOT NULL,
    product_name VARCHAR(255) NOT NULL,
    category VARCHAR(100) NOT NULL,
    price DECIMAL(10, 2) NOT NULL,
    event_type VARCHAR(20) NOT NULL CHECK (event_type IN ('view', 'purchase', 'add_to_cart')),
    event_timestamp TIMESTAMP NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX idx_user_events_user_id ON user_events(user_id);
CREATE INDEX idx_user_events_timestamp ON user_events(event_timestamp);
INSERT INTO user_events (event_id, user_id, product_id, product_name, category, price, event_type, event_timestamp)
VALUES ('old', 'u', 'p', 'Thing', 'Toys', 1.50, 'view', '2025-01-01 10:00:00'),
       ('e001', 'u1', 'p1', 'Thing', 'Toys', 9.99, 'view', '2025-03-01 10:00:01');
CREATE VIEW v_event_summary AS SELECT event_type, count(*) AS total_events FROM user_events GROUP BY event_type;
CREATE VIEW v_hourly_events AS SELECT date_trunc('hour', event_timestamp) AS hour FROM user_events;
CREATE VIEW v_purchase_funnel AS SELECT count(*) AS n FROM user_events;
CREATE VIEW v_top_products AS SELECT product_id FROM user_events;
CREATE VIEW v_recent_activity AS SELECT * FROM user_events ORDER BY event_timestamp DESC LIMIT 100;";

#[test]
fn user_events_of_the_old_job_are_adopted_and_written_beside() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(OLD).expect("the old job's tables");
    let telemetra = Telemetra::new();
    let said = telemetra.run(&["migrate", "--store", &database.address()]).expect_code(0);
    assert!(said.contains("adopted table user_events: 2 rows kept"), "{said}");
    assert!(said.contains("v_hourly_events"), "{said}");
    let raw = telemetra.path().join("data/raw");
    std::fs::create_dir_all(&raw).expect("a folder");
    std::fs::copy(fixture("commerce_dirty/raw/a_rules.csv"), raw.join("a_rules.csv")).expect("a copy");
    telemetra.run(&["run", "commerce", "--once", "--store", &database.address()]).expect_code(0);
    telemetra.run(&["audit", "--store", &database.address()]).expect_code(0);
    let mut count = |sql: &str| client.query_one(sql, &[]).expect("a count").get::<_, i64>(0);
    assert_eq!(count("SELECT count(*) FROM user_events WHERE batch_id IS NULL"), 2);
    // Of the fixture's fifteen one is there already, with the same payload.
    assert_eq!(count("SELECT count(*) FROM user_events WHERE batch_id IS NOT NULL"), 14);
    let instant = "SELECT count(*) FROM user_events WHERE event_id = 'old' AND event_timestamp = '2025-01-01T10:00:00Z'";
    assert_eq!(count(instant), 1);
    assert_eq!(count("SELECT sum(total_events)::bigint FROM v_event_summary"), 16);
}

#[test]
fn a_sequence_behind_restored_rows_is_moved_behind_them() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(OLD).expect("the old job's tables");
    client.batch_execute("UPDATE user_events SET id = id + 5 WHERE event_id = 'old'").expect("restored");
    Telemetra::new().run(&["migrate", "--store", &database.address()]).expect_code(0);
    let next = "SELECT nextval(pg_get_serial_sequence('user_events', 'id'))";
    assert_eq!(client.query_one(next, &[]).expect("a number").get::<_, i64>(0), 7);
}

#[test]
fn views_that_others_read_are_named_and_nothing_is_changed() {
    let database = Postgres::shared().create_database();
    let mut client = database.client();
    client.batch_execute(OLD).expect("the old job's tables");
    client.batch_execute("CREATE VIEW theirs AS SELECT * FROM v_top_products").expect("a view");
    let said = Telemetra::new().run(&["migrate", "--store", &database.address()]).expect_code(1);
    assert!(said.contains("view v_top_products has the name of a table of telemetra's"), "{said}");
    let views = "SELECT count(*) FROM pg_views WHERE viewname LIKE 'v\\_%' AND schemaname = 'public'";
    assert_eq!(client.query_one(views, &[]).expect("a count").get::<_, i64>(0), 5);
}

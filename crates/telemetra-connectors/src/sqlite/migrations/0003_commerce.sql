-- Commerce (DESIGN §6, §10): rows unique by their id, what was refused, and the views. Prices are integer hundredths in
-- the table and exact text with two decimals in the views. `event_timestamp` is `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
CREATE TABLE user_events (
    id              INTEGER PRIMARY KEY,
    event_id        TEXT    NOT NULL UNIQUE,
    user_id         TEXT    NOT NULL,
    product_id      TEXT    NOT NULL,
    product_name    TEXT    NOT NULL,
    category        TEXT    NOT NULL,
    price           INTEGER NOT NULL,
    event_type      TEXT    NOT NULL CHECK (event_type IN ('view', 'add_to_cart', 'purchase')),
    event_timestamp TEXT    NOT NULL,
    created_at      TEXT    NOT NULL,
    -- NULL in rows that are not ours.
    batch_id        INTEGER,
    origin          TEXT,
    origin_position INTEGER
);
CREATE INDEX user_events_user_id ON user_events (user_id);
CREATE INDEX user_events_event_type ON user_events (event_type);
CREATE INDEX user_events_event_timestamp ON user_events (event_timestamp);
CREATE INDEX user_events_event_type_event_timestamp ON user_events (event_type, event_timestamp);

CREATE TABLE rejected_events (
    job         TEXT    NOT NULL,
    topic       TEXT,
    "partition" INTEGER NOT NULL,
    "offset"    INTEGER NOT NULL,
    file        TEXT,
    line        INTEGER,
    byte_from   INTEGER,
    byte_to     INTEGER,
    codes       TEXT    NOT NULL,
    raw         BLOB    NOT NULL,
    batch_id    INTEGER NOT NULL,
    -- When a replay made a row of it.
    replayed_at TEXT,
    PRIMARY KEY (job, "partition", "offset")
);
CREATE INDEX rejected_events_batch_id ON rejected_events (job, batch_id);

-- What only the store could tell of the events. A range has in quarantine what the rules or the store refused;
-- conflicts are counted apart.
ALTER TABLE telemetra_job ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_job ADD COLUMN duplicates INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_job ADD COLUMN conflicts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_job ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch ADD COLUMN duplicates INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch ADD COLUMN conflicts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch_range ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch_range ADD COLUMN duplicates INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch_range ADD COLUMN conflicts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE telemetra_batch_range ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0;

-- The record of a file that names its columns, which belongs to each record in quarantine.
ALTER TABLE telemetra_file ADD COLUMN head BLOB;
CREATE INDEX telemetra_file_first_offset ON telemetra_file (job, "partition", first_offset);

-- Batches that put something into quarantine; `exported_at` is NULL until its export is written.
CREATE TABLE telemetra_export (
    job         TEXT    NOT NULL,
    batch_id    INTEGER NOT NULL,
    exported_at TEXT,
    PRIMARY KEY (job, batch_id)
) WITHOUT ROWID;

-- Hundredths are rounded half away from zero, which for what is not negative is adding half of the divisor.
CREATE VIEW v_event_summary AS
SELECT event_type, total_events, unique_users,
    format('%d.%02d', mean / 100, mean % 100) AS avg_price,
    format('%d.%02d', total / 100, total % 100) AS total_value
FROM (SELECT event_type, count(*) AS total_events, count(DISTINCT user_id) AS unique_users,
          (2 * sum(price) + count(*)) / (2 * count(*)) AS mean, sum(price) AS total
      FROM user_events GROUP BY event_type)
ORDER BY event_type;

CREATE VIEW v_hourly_events AS
SELECT hour, event_type, events, unique_users, format('%d.%02d', total / 100, total % 100) AS value
FROM (SELECT substr(event_timestamp, 1, 13) || ':00:00.000000Z' AS hour, event_type, count(*) AS events,
          count(DISTINCT user_id) AS unique_users, sum(price) AS total
      FROM user_events GROUP BY 1, 2)
ORDER BY hour, event_type;

CREATE VIEW v_purchase_funnel AS
WITH stages AS (
    SELECT s.stage, s.event_type, count(DISTINCT e.user_id) AS users, count(DISTINCT e.product_id) AS products
    FROM (SELECT 1 AS stage, 'view' AS event_type UNION ALL SELECT 2, 'add_to_cart' UNION ALL SELECT 3, 'purchase') s
        LEFT JOIN user_events e ON e.event_type = s.event_type
    GROUP BY s.stage, s.event_type),
rates AS (
    SELECT t.stage, t.event_type, t.users, t.products,
        (20000 * t.users + before.users) / nullif(2 * before.users, 0) AS step,
        (20000 * t.users + top.users) / nullif(2 * top.users, 0) AS overall
    FROM stages t JOIN stages top ON top.stage = 1 LEFT JOIN stages before ON before.stage = t.stage - 1)
SELECT stage, event_type, users, products,
    iif(step IS NULL, NULL, format('%d.%02d', step / 100, step % 100)) AS step_conversion_percent,
    iif(overall IS NULL, NULL, format('%d.%02d', overall / 100, overall % 100)) AS total_conversion_percent
FROM rates ORDER BY stage;

CREATE VIEW v_top_products AS
SELECT product_id, product_name, purchases, format('%d.%02d', total / 100, total % 100) AS revenue
FROM (SELECT product_id, max(product_name) AS product_name, count(*) AS purchases, sum(price) AS total
      FROM user_events WHERE event_type = 'purchase' GROUP BY product_id)
ORDER BY total DESC, product_id;

CREATE VIEW v_recent_activity AS
SELECT event_id, user_id, product_id, product_name, category, format('%d.%02d', price / 100, price % 100) AS price,
    event_type, event_timestamp
FROM user_events ORDER BY event_timestamp DESC, id DESC LIMIT 100;

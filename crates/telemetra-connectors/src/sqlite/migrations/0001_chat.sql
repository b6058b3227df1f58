-- Results (DESIGN §5, §10). Instants are text `YYYY-MM-DDTHH:MM:SS.mmmZ`, which sorts as time does.
-- No index holds a column that changes: rewriting an open window touches its one leaf.
CREATE TABLE chat_summary_minute (
    stream_id       TEXT    NOT NULL,
    window_start    TEXT    NOT NULL,
    window_end      TEXT    NOT NULL,
    chat_count      INTEGER NOT NULL,
    unique_chatters INTEGER NOT NULL,
    avg_sentiment   REAL,
    positive_count  INTEGER NOT NULL,
    negative_count  INTEGER NOT NULL,
    chat_rate       REAL    NOT NULL,
    top_emotes      TEXT    NOT NULL,
    emote_counts    TEXT    NOT NULL,
    avg_viewers     REAL,
    z_score         REAL,
    is_anomaly      INTEGER NOT NULL,
    is_final        INTEGER NOT NULL,
    incomplete      INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    batch_id        INTEGER NOT NULL,
    processed_at    TEXT    NOT NULL,
    PRIMARY KEY (stream_id, window_start)
) WITHOUT ROWID;

CREATE TABLE moments (
    id          INTEGER PRIMARY KEY,
    stream_id   TEXT NOT NULL,
    timestamp   TEXT NOT NULL,
    moment_type TEXT NOT NULL,
    description TEXT NOT NULL,
    intensity   REAL NOT NULL,
    metadata    TEXT NOT NULL,
    detected_at TEXT NOT NULL,
    UNIQUE (stream_id, moment_type, timestamp)
);

CREATE TABLE dead_letters (
    job         TEXT    NOT NULL,
    input       TEXT    NOT NULL,
    topic       TEXT,
    "partition" INTEGER NOT NULL,
    "offset"    INTEGER NOT NULL,
    file        TEXT,
    line        INTEGER,
    code        TEXT    NOT NULL,
    raw         BLOB    NOT NULL,
    batch_id    INTEGER NOT NULL,
    PRIMARY KEY (job, input, "partition", "offset")
);

CREATE TABLE late_events (
    job         TEXT    NOT NULL,
    input       TEXT    NOT NULL,
    topic       TEXT,
    "partition" INTEGER NOT NULL,
    "offset"    INTEGER NOT NULL,
    file        TEXT,
    line        INTEGER,
    stream_id   TEXT    NOT NULL,
    event_time  TEXT    NOT NULL,
    watermark   TEXT    NOT NULL,
    raw         BLOB    NOT NULL,
    batch_id    INTEGER NOT NULL,
    PRIMARY KEY (job, input, "partition", "offset")
);

-- The ledger. Columns in `_ms` are milliseconds since the Unix epoch.
CREATE TABLE telemetra_job (
    job           TEXT    NOT NULL PRIMARY KEY,
    pipeline      TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    holder        TEXT    NOT NULL,
    last_batch    INTEGER NOT NULL,
    watermark_ms  INTEGER,
    open_end_ms   INTEGER,
    open_digest   INTEGER NOT NULL,
    open_count    INTEGER NOT NULL,
    meaning       TEXT    NOT NULL,
    length_ms     INTEGER NOT NULL,
    slide_ms      INTEGER NOT NULL,
    records       INTEGER NOT NULL,
    late          INTEGER NOT NULL,
    dead          INTEGER NOT NULL,
    in_windows    INTEGER NOT NULL,
    window_misses INTEGER NOT NULL,
    final_count   INTEGER NOT NULL,
    final_rows    INTEGER NOT NULL,
    status        TEXT    NOT NULL,
    halt_cause    TEXT,
    created_at    TEXT    NOT NULL,
    updated_at    TEXT    NOT NULL
) WITHOUT ROWID;

CREATE TABLE telemetra_result_table (
    name       TEXT NOT NULL PRIMARY KEY,
    job        TEXT NOT NULL,
    claimed_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE telemetra_position (
    job           TEXT    NOT NULL,
    input         TEXT    NOT NULL,
    topic         TEXT,
    "partition"   INTEGER NOT NULL,
    first_offset  INTEGER NOT NULL,
    replay_offset INTEGER NOT NULL,
    next_offset   INTEGER NOT NULL,
    largest_ms    INTEGER,
    pending_ms    INTEGER,
    pending_age   INTEGER NOT NULL,
    head_since_ms INTEGER,
    PRIMARY KEY (job, input, "partition")
) WITHOUT ROWID;

CREATE TABLE telemetra_batch (
    job                 TEXT    NOT NULL,
    batch_id            INTEGER NOT NULL,
    attempt             TEXT    NOT NULL,
    epoch               INTEGER NOT NULL,
    kind                TEXT    NOT NULL,
    planned_at          TEXT    NOT NULL,
    committed_at        TEXT    NOT NULL,
    watermark_before_ms INTEGER,
    watermark_ms        INTEGER,
    open_end_ms         INTEGER,
    open_digest         INTEGER NOT NULL,
    open_count          INTEGER NOT NULL,
    records             INTEGER NOT NULL,
    empty               INTEGER NOT NULL,
    counted             INTEGER NOT NULL,
    in_windows          INTEGER NOT NULL,
    late                INTEGER NOT NULL,
    dead                INTEGER NOT NULL,
    -- Windows missed by events of the ranges, and what closing early left out of rows.
    window_misses       INTEGER NOT NULL,
    early_misses        INTEGER NOT NULL,
    final_count         INTEGER NOT NULL,
    final_rows          INTEGER NOT NULL,
    rows_written        INTEGER NOT NULL,
    moments             INTEGER NOT NULL,
    PRIMARY KEY (job, batch_id)
) WITHOUT ROWID;

CREATE TABLE telemetra_batch_range (
    job           TEXT    NOT NULL,
    input         TEXT    NOT NULL,
    "partition"   INTEGER NOT NULL,
    from_offset   INTEGER NOT NULL,
    to_offset     INTEGER NOT NULL,
    batch_id      INTEGER NOT NULL,
    watermark_ms  INTEGER,
    records       INTEGER NOT NULL,
    empty         INTEGER NOT NULL,
    counted       INTEGER NOT NULL,
    in_windows    INTEGER NOT NULL,
    late          INTEGER NOT NULL,
    dead          INTEGER NOT NULL,
    window_misses INTEGER NOT NULL,
    PRIMARY KEY (job, input, "partition", from_offset)
) WITHOUT ROWID;

CREATE TABLE telemetra_file (
    job          TEXT    NOT NULL,
    input        TEXT    NOT NULL,
    "partition"  INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    byte_from    INTEGER NOT NULL,
    byte_to      INTEGER NOT NULL,
    line         INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    records      INTEGER NOT NULL,
    fingerprint  TEXT    NOT NULL,
    modified_ns  INTEGER,
    smallest_ms  INTEGER,
    largest_ms   INTEGER,
    PRIMARY KEY (job, input, "partition", seq)
) WITHOUT ROWID;

CREATE TABLE telemetra_gap (
    job         TEXT    NOT NULL,
    input       TEXT    NOT NULL,
    "partition" INTEGER NOT NULL,
    from_offset INTEGER NOT NULL,
    to_offset   INTEGER NOT NULL,
    in_replay   INTEGER NOT NULL,
    cause       TEXT    NOT NULL,
    batch_id    INTEGER NOT NULL,
    PRIMARY KEY (job, input, "partition", from_offset, batch_id)
) WITHOUT ROWID;

//! Every bound of a folder, by name.

/// How long size and time of a file must stay the same before it is read, milliseconds.
pub const SETTLE_MS: i64 = 2_000;
/// Decoded bytes between two points of the sparse index, and bytes that the index pass reads at once.
pub const POINT_BYTES: usize = 256 << 10;
/// Decoded bytes that are indexed ahead of reading; more than one batch may hold.
pub const AHEAD_BYTES: u64 = 512 << 20;
/// Records that are indexed ahead of reading; more than one batch may hold.
pub const AHEAD_RECORDS: u64 = 1_000_000;
/// Longest head of a CSV file, bytes; a file with a longer one is `record_too_long`.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// A compressed file may hold this many times its size,
pub const RATIO_MAX: u64 = 200;
/// beyond this many decoded bytes,
pub const RATIO_FREE_BYTES: u64 = 1 << 20;
/// and never more decoded bytes than this.
pub const DECODED_BYTES_MAX: u64 = 256 << 30;
/// Open decoders kept between consecutive ranges of compressed files.
pub const DECODERS_KEPT: usize = 32;
/// Files already taken in whose size and time are looked at in one poll: as many of the newest, and as many
/// of the others in turn.
pub const STATS_PER_POLL: usize = 1_000;
/// Entries of each list that a report keeps; more are only counted.
pub const LISTED_MAX: usize = 1_000;
/// Files moved away that are looked at again, for a writer that did not let go; the newest ones.
pub const MOVED_WATCHED_MAX: usize = 1_000;
/// How long they are looked at, milliseconds.
pub const MOVED_WATCHED_MS: i64 = 60_000;
/// How long a file without a record is kept after it was last written to, before it is moved: its writer may have
/// begun with the head alone. Milliseconds.
pub const EMPTY_KEPT_MS: i64 = 5 * 60_000;
/// Moves that may fail in one poll before the others are left to the next one.
pub const MOVE_FAILURES_MAX: usize = 1_000;
/// Numbers that are tried behind the name of a file when the folder for processed files has that name.
pub const MOVE_NUMBERS_MAX: u32 = 10_000;
/// Sets of columns that nobody reads of which a person is told.
pub const DRIFTS_MAX: usize = 20;
/// Columns that are named of each,
pub const DRIFT_COLUMNS_SHOWN: usize = 10;
/// by so many characters at most.
pub const DRIFT_NAME_CHARS_SHOWN: usize = 50;

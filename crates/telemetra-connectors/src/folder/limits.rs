//! Every bound of a folder, by name.

/// How long size and time of a file must stay the same before it is read, milliseconds.
pub const SETTLE_MS: i64 = 2_000;
/// Decoded bytes between two points of the sparse index, and bytes that the index pass reads at once.
pub const POINT_BYTES: usize = 256 << 10;
/// Decoded bytes that are indexed ahead of reading; more than one batch may hold.
pub const AHEAD_BYTES: u64 = 512 << 20;
/// Records that are indexed ahead of reading; more than one batch may hold.
pub const AHEAD_RECORDS: u64 = 1_000_000;
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

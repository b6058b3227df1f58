//! Why bytes are no records that can be read.

use super::BATCH_BYTES_MAX;

/// What the first batch is that cannot be read. `base_offset` is what the batch says of itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsFault {
    /// The bytes changed since they were written, on the broker's disk or on the way.
    #[error("batch at offset {base_offset}: the checksum is {found:08x}, {stored:08x} was written")]
    Checksum {
        /// Base offset of the batch.
        base_offset: i64,
        /// What the batch says.
        stored: u32,
        /// What its bytes give.
        found: u32,
    },
    /// Not the one message format that is read.
    #[error("batch at offset {base_offset}: {}", old_or_unknown(*.magic))]
    Magic {
        /// Base offset of the batch.
        base_offset: i64,
        /// The format's number; 0 and 1 are older than Kafka 0.11.
        magic: i8,
    },
    /// The batch is longer than what a reader may hold, as it was sent or unpacked.
    #[error("batch at offset {base_offset}: it takes more than {BATCH_BYTES_MAX} bytes {form}")]
    TooLarge {
        /// Base offset of the batch.
        base_offset: i64,
        /// "as it was sent" or "unpacked".
        form: &'static str,
    },
    /// A compression that Kafka did not have when this was written.
    #[error("batch at offset {base_offset}: unknown compression {codec}")]
    Compression {
        /// Base offset of the batch.
        base_offset: i64,
        /// Its number.
        codec: u8,
    },
    /// The checksum is right or was not reached, and the bytes contradict the format.
    #[error("batch at offset {base_offset}: {what}")]
    Malformed {
        /// Base offset of the batch.
        base_offset: i64,
        /// What is wrong.
        what: &'static str,
    },
}

impl RecordsFault {
    /// What somebody can do beside leaving it out, as half of a sentence.
    pub fn way_on(&self) -> &'static str {
        match self {
            Self::Checksum { .. } | Self::Malformed { .. } => {
                "let another replica lead the partition, whose copy may be whole"
            }
            Self::TooLarge { .. } => "write its records again in smaller batches",
            Self::Magic { .. } | Self::Compression { .. } => "copy the topic with a client of today",
        }
    }
}

fn old_or_unknown(magic: i8) -> String {
    match magic {
        0 | 1 => format!(
            "message format {magic}, written before Kafka 0.11, is not read; records written since, or copied \
             to a new topic by a client of today, are"
        ),
        _ => format!("unknown message format {magic}"),
    }
}

//! Which batches a reader of committed records leaves out.
//!
//! A producer's transactions lie one behind the other, each ended by a control batch. From the first offset of an
//! aborted one, all that its producer wrote in transactions is left out until that producer's ABORT. What lies in
//! transactions still open is never sent to a reader of committed records, but one that was aborted later may reach
//! beyond the response. The rule is that of `org.apache.kafka.clients.consumer.internals.CompletedFetch`.

use std::collections::BTreeSet;

use super::{header::Header, walk};

/// Type of the control record that ends an aborted transaction.
const ABORT: i16 = 0;

/// The aborted transactions of a response.
#[derive(Debug)]
pub(super) struct Aborted {
    /// First offset and producer of those not come to yet, the next one last.
    ahead: Vec<(i64, i64)>,
    /// Producers in an aborted transaction.
    open: BTreeSet<i64>,
}

impl Aborted {
    /// Takes (producer id, first offset) in any order.
    pub(super) fn new(mut aborted: Vec<(i64, i64)>) -> Self {
        for entry in &mut aborted {
            *entry = (entry.1, entry.0);
        }
        aborted.sort_unstable_by(|a, b| b.cmp(a));
        Self { ahead: aborted, open: BTreeSet::new() }
    }

    /// Whether the records of a batch are to be read. Told of all batches, in their order, each once: a second time
    /// changes nothing only for batches of records.
    ///
    /// # Errors
    /// What a control batch is if it is malformed.
    pub(super) fn admits(&mut self, header: &Header, packed: &[u8]) -> Result<bool, &'static str> {
        while let Some((_, producer_id)) = self.ahead.pop_if(|(first, _)| *first < header.offsets.end as i64)
        {
            self.open.insert(producer_id);
        }
        if header.is_control {
            if header.codec != 0 {
                return Err("its control record is compressed");
            }
            if header.records > 0 && walk::control_type(packed)? == ABORT {
                self.open.remove(&header.producer_id);
            }
            return Ok(false);
        }
        Ok(!(header.is_transactional && self.open.contains(&header.producer_id)))
    }
}

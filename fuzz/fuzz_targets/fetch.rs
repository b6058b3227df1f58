//! Any bytes as a broker's response to a fetch: never a panic or a hang, memory bounded, records within the response.
//!
//! Good seeds: a response of each version with records, with aborted transactions, and with a code.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetra_connectors::kafka::{Answer, records::Fetched};
use telemetra_engine::source::Chunk;

fuzz_target!(|data: &[u8]| {
    let Some(answer) = Answer::of(data, 0) else { return };
    assert!(answer.records.start <= answer.records.end && answer.records.end <= data.len());
    assert!(answer.aborted.capacity() * 17 <= data.len().max(4 * 17));
    let mut fetched = Fetched::new(data.to_vec(), answer.records, answer.aborted);
    if let Some(stretch) = fetched.stretch() {
        assert!(stretch.batches > 0 && stretch.bytes <= data.len());
    }
    let mut chunk = Chunk::default();
    while let Ok(true) = fetched.next_chunk(&(0..u64::MAX), &mut chunk) {}
});

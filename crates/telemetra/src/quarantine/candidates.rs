//! Records in quarantine, decoded again by the rules of today.
//!
//! Knows no store. The invariant: each record is either a candidate or told why it is still refused.

use std::sync::Arc;

use telemetra_connectors::Rejected;
use telemetra_core::{
    commerce::{
        Commerce, Format, Scratch, Zone,
        rows::{Block, CommerceRows},
    },
    record::{Origin, Record, Reject},
};

/// What decoding came to.
#[derive(Debug, Default)]
pub struct Tried {
    /// Records that keep every rule now, ordered by (partition, offset).
    pub rows: CommerceRows,
    /// Codes of each of the others.
    pub refused: Vec<String>,
}

/// Decodes records ordered by (partition, offset); stamps without an offset are in `zone`.
pub fn candidates(rejected: &[Rejected], zone: &Zone) -> Tried {
    let rules = |format| (Commerce { format, timezone: zone.clone() }, Scratch::default());
    let (mut csv, mut json) = (rules(Format::Csv), rules(Format::Json));
    let (mut blocks, mut refused): (Vec<Block>, Vec<String>) = (Vec::new(), Vec::new());
    let mut partition = None;
    for record in rejected {
        let (commerce, scratch) = if record.topic.is_some() { &mut json } else { &mut csv };
        match commerce.decode(as_read(record), scratch) {
            Err(Reject(codes)) => refused.push(codes.into_owned()),
            Ok(event) => {
                if partition.replace(record.partition) != Some(record.partition) {
                    blocks.push(Block::default());
                }
                let file: Option<Arc<str>> = record.file.as_deref().map(Arc::from);
                let origin = Origin {
                    partition: (0, record.partition),
                    offset: record.offset,
                    file: file.as_ref(),
                    line: record.line,
                    bytes: record.bytes.clone(),
                    raw: &record.raw,
                };
                if let Some(block) = blocks.last_mut() {
                    block.push(event.event_id, &event.payload, &origin);
                }
            }
        }
    }
    Tried { rows: CommerceRows::new(blocks), refused }
}

/// A record as its source handed it over.
fn as_read(record: &Rejected) -> Record<'_> {
    Record {
        truncated: record.codes == "record_too_long",
        head: record.head.as_deref(),
        // A file without a head has a fault as a whole, and is one record.
        fault: (record.file.is_some() && record.head.is_none()).then_some(record.codes.as_str()),
        ..Record::of_bytes(&record.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::export::tests::rejected;

    #[test]
    fn records_of_a_topic_are_json() {
        let good = r#"{"price":1.5,"event_id":"e","user_id":"u","product_id":"p","product_name":"n","category":"c",
            "event_type":"view","timestamp":"2025-01-01 00:00:00"}"#;
        let of_topic = |offset, partition, raw: &str| Rejected {
            topic: Some("shop".into()),
            partition,
            file: None,
            line: None,
            bytes: None,
            seq: None,
            ..rejected(offset, 0, None, raw)
        };
        let too_long = Rejected { codes: "record_too_long".into(), ..of_topic(9, 1, good) };
        let records = [of_topic(3, 0, good), of_topic(4, 0, "[]"), of_topic(3, 1, good), too_long];
        let tried = candidates(&records, &Zone::default());
        let places = tried.rows.iter().map(|it| (it.origin.partition.1, it.origin.offset, it.origin.file));
        assert_eq!(places.collect::<Vec<_>>(), [(0, 3, None), (1, 3, None)]);
        assert_eq!(tried.refused, ["not_object", "record_too_long"]);
    }

    #[test]
    fn records_are_decoded_with_the_head_of_their_file() {
        let head = "price,event_id,user_id,product_id,product_name,category,event_type,timestamp";
        let good = "1,e,u,p,n,c,view,2025-01-01 00:00:00";
        let records = [
            rejected(3, 0, Some(head), good),
            rejected(4, 0, Some(head), "x,e,u,p,n,c,buy,2025-01-01 00:00:00"),
            rejected(0, 1, None, good),
        ];
        let tried = candidates(&records, &Zone::default());
        let seen: Vec<_> = tried.rows.iter().map(|it| (it.event_id.to_owned(), it.origin.offset)).collect();
        assert_eq!(seen, [("e".to_owned(), 3)]);
        assert_eq!(tried.refused, ["price_syntax|event_type", "price_range"]);
    }
}

//! The quarantine of a batch. Records are inserted, never upserted: a second one at the same offset is an error that
//! stops the job.

use tokio_postgres::types::Type;

use super::super::{
    Held, Job,
    commit::FLIGHT_LIMIT,
    failure::Failure,
    flight::{Statement, fly},
    session::Session,
    values::int,
};
use crate::ledger::intake::Refusal;

/// Records that one statement inserts, and their raw bytes, one record excepted.
const RECORDS: usize = 10_000;
const RAW_BYTES: usize = 8 << 20;

const SQL: &str = "INSERT INTO rejected_events (job, batch_id, topic, partition, \"offset\", file, line, byte_from, byte_to,
        codes, raw)
    SELECT $1, $2, v.* FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11) AS v";

/// Inserts the records, and that they are to be exported.
pub(super) fn insert_rejected(
    session: &Session,
    job: &Job,
    held: &Held,
    batch_id: i64,
    quarantine: &[Refusal<'_>],
) -> Result<(), Failure> {
    let mut rest = quarantine;
    while !rest.is_empty() {
        let (records, behind) = rest.split_at(count_of_one(rest));
        rest = behind;
        let columns = Columns::new(held, records)?;
        let flight = vec![columns.statement(&job.name, &batch_id)];
        let replies = session.run(FLIGHT_LIMIT, async |client| fly(client, "", flight).await)?;
        if replies[0].affected != records.len() as u64 {
            let (inserted, all) = (replies[0].affected, records.len());
            let text = format!("{inserted} of {all} refused records were inserted; nothing was written");
            return Err(Failure::halt(text));
        }
    }
    let sql = "INSERT INTO telemetra.export (job, batch_id) VALUES ($1, $2)";
    let export = vec![Statement::new(sql).text(&job.name).int(&batch_id)];
    session.run(FLIGHT_LIMIT, async |client| fly(client, "", export).await)?;
    Ok(())
}

/// How many records go with the next statement, at least one.
fn count_of_one(records: &[Refusal<'_>]) -> usize {
    let mut bytes = 0;
    let fits = records.iter().take(RECORDS).take_while(|record| {
        bytes += record.raw.len();
        bytes <= RAW_BYTES
    });
    fits.count().max(1)
}

#[derive(Default)]
struct Columns<'a> {
    topic: Vec<Option<&'a str>>,
    partition: Vec<i64>,
    offset: Vec<i64>,
    file: Vec<Option<&'a str>>,
    /// Line, first byte, first byte behind.
    places: [Vec<Option<i64>>; 3],
    codes: Vec<&'a str>,
    raw: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn new(held: &'a Held, records: &'a [Refusal<'_>]) -> Result<Self, Failure> {
        let mut columns = Self::default();
        for record in records {
            columns.topic.push(held.input(record.partition)?.topic.as_deref());
            columns.partition.push(record.partition.partition.into());
            columns.offset.push(int(record.offset)?);
            columns.file.push(record.file);
            let bytes = record.bytes.as_ref();
            let places = [record.line, bytes.map(|bytes| bytes.start), bytes.map(|bytes| bytes.end)];
            for (column, place) in columns.places.iter_mut().zip(places) {
                column.push(place.map(int).transpose()?);
            }
            columns.codes.push(&record.codes);
            columns.raw.push(record.raw);
        }
        Ok(columns)
    }

    fn statement<'s>(&'s self, job: &'s String, batch_id: &'s i64) -> Statement<'s> {
        let statement = Statement::new(SQL)
            .text(job)
            .int(batch_id)
            .arg(&self.topic, Type::TEXT_ARRAY)
            .arg(&self.partition, Type::INT8_ARRAY)
            .arg(&self.offset, Type::INT8_ARRAY)
            .arg(&self.file, Type::TEXT_ARRAY);
        let places = self.places.iter();
        places
            .fold(statement, |statement, column| statement.arg(column, Type::INT8_ARRAY))
            .arg(&self.codes, Type::TEXT_ARRAY)
            .arg(&self.raw, Type::BYTEA_ARRAY)
    }
}

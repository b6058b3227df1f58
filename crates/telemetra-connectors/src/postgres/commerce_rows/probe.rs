//! What the table holds of each candidate: its id with the same payload, with another, or not at all.
//!
//! Each statement sees what was committed before it began, so a second probe sees another writer's rows.

use std::{collections::HashMap, pin::pin};

use futures_util::{StreamExt, TryStreamExt, stream};
use telemetra_core::commerce::{classify::Stored, rows::Candidate};
use tokio_postgres::{Client, Row, types::Type};

use super::{
    super::{commit::FLIGHT_LIMIT, failure::Failure, session::Session, values::Us},
    price::Price,
};

/// Ids that one statement asks for; the next one is under way while its answer is judged.
const IDS: usize = 2_500;
/// Ids that have one time limit.
const FLIGHT_IDS: usize = 25_000;

/// A seek in the index for each id, whatever the planner believes of the table's size: it may take a young table for
/// an empty one and read a million rows from end to end. Nor does it weigh each of the ids. Until the end of the
/// transaction, whose other statements go by keys as well.
const SEEK: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off;
    SET LOCAL plan_cache_mode = force_generic_plan";

/// Adopted rows may hold NULL anywhere but in the id: it is like no candidate's value.
const SQL: &str =
    "SELECT event_id, user_id, product_id, product_name, category, price, event_type, event_timestamp
    FROM user_events WHERE event_id = ANY ($1)";

/// Asks for `count` candidates; the answer is in their order.
pub(super) fn probe<'a>(
    session: &Session,
    count: usize,
    candidate: impl Fn(usize) -> Candidate<'a>,
) -> Result<Vec<Stored>, Failure> {
    let mut stored = vec![Stored::Unknown; count];
    let mut sorted: Vec<_> = (0..count).map(|number| (candidate(number).event_id, number)).collect();
    // Neighbouring seeks meet the same pages.
    sorted.sort_unstable();
    session.run(FLIGHT_LIMIT, async |client| Ok(client.batch_execute(SEEK).await?))?;
    for flight in sorted.chunks(FLIGHT_IDS) {
        session.run(FLIGHT_LIMIT, async |client| {
            let asked = stream::iter(flight.chunks(IDS)).map(|asked| find(client, asked));
            let mut answers = pin!(asked.buffered(2));
            while let Some((asked, rows)) = answers.try_next().await? {
                judge(asked, &rows, &candidate, &mut stored)?;
            }
            Ok(())
        })?;
    }
    Ok(stored)
}

/// A candidate's id and number.
type Asked<'a> = (&'a str, usize);

async fn find<'s, 'a>(
    client: &Client,
    asked: &'s [Asked<'a>],
) -> Result<(&'s [Asked<'a>], Vec<Row>), Failure> {
    let mut ids: Vec<&str> = asked.iter().map(|(id, _)| *id).collect();
    ids.dedup();
    let rows = client.query_typed_raw(SQL, [(&ids, Type::TEXT_ARRAY)]).await?;
    Ok((asked, rows.try_collect().await?))
}

fn judge<'a>(
    asked: &[Asked<'a>],
    found: &[Row],
    candidate: impl Fn(usize) -> Candidate<'a>,
    stored: &mut [Stored],
) -> Result<(), Failure> {
    let mut rows = HashMap::with_capacity(found.len());
    for row in found {
        rows.insert(row.try_get::<_, &str>(0)?, row);
    }
    for &(id, number) in asked {
        stored[number] = match rows.get(id) {
            None => Stored::Unknown,
            Some(row) if is_same(row, &candidate(number))? => Stored::Same,
            Some(_) => Stored::Other,
        };
    }
    Ok(())
}

fn is_same(row: &Row, candidate: &Candidate<'_>) -> Result<bool, Failure> {
    let payload = &candidate.payload;
    let texts = [payload.user_id, payload.product_id, payload.product_name, payload.category];
    for (column, text) in (1..).zip(texts) {
        if row.try_get::<_, Option<&str>>(column)? != Some(text) {
            return Ok(false);
        }
    }
    Ok(row.try_get::<_, Option<Price>>(5)? == Some(Price(Some(payload.price_cents)))
        && row.try_get::<_, Option<&str>>(6)? == Some(payload.event_type.as_str())
        && row.try_get::<_, Option<Us>>(7)? == Some(Us(payload.time_us)))
}

//! Rows by a statement that leaves out those whose id is known, and the rows at fault among them.
//!
//! A set that is refused is halved, each half under a savepoint, until the row at fault is alone. What was not inserted
//! and not refused is compared with what is stored.

use std::collections::BTreeMap;

use telemetra_core::commerce::{classify::Stored, rows::Candidate};
use tokio_postgres::{Client, types::Type};

use super::{
    super::{
        commit::FLIGHT_LIMIT,
        failure::Failure,
        flight::{Statement, fly},
        session::Session,
        values::Us,
    },
    RELEASE, ROLL_BACK, SAVEPOINT, Source, fault, probe,
};
use crate::ledger::intake::{Became, Intake};

/// "No data": the statement inserted nothing, said no reason, and no row has the id.
const LEFT_OUT: &str = "sqlstate:02000";

const SQL: &str = "INSERT INTO user_events (event_id, user_id, product_id, product_name, category, price, event_type,
        event_timestamp, batch_id, origin, origin_position)
    SELECT v.event_id, v.user_id, v.product_id, v.product_name, v.category, v.cents * 0.01, v.event_type, v.at,
        v.batch_id, v.origin, v.position
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) WITH ORDINALITY
        AS v (event_id, user_id, product_id, product_name, category, cents, event_type, at, batch_id, origin, position,
            place)
    ORDER BY v.place
    ON CONFLICT (event_id) DO NOTHING RETURNING event_id";

/// Inserts rows, no two of one id, and says of those that are none why.
pub(super) fn insert(
    session: &Session,
    intake: &Intake<'_>,
    rows: &[(usize, Candidate<'_>, Source<'_>)],
) -> Result<Vec<(usize, Became)>, Failure> {
    let mut others = Vec::new();
    let mut left_out = Vec::new();
    // The first half lies on top: ids are given in order.
    let mut sets = vec![rows];
    while let Some(set) = sets.pop() {
        match session.run(FLIGHT_LIMIT, async |client| insert_set(client, set).await) {
            Ok(ids) => {
                session.run(FLIGHT_LIMIT, async |client| Ok(client.batch_execute(RELEASE).await?))?;
                // In the order of the set, but for those that are missing.
                let mut ids = ids.iter().map(String::as_str).peekable();
                for row in set {
                    if ids.next_if_eq(&row.1.event_id).is_none() {
                        left_out.push(row);
                    }
                }
                if ids.next().is_some() {
                    return Err(Failure::halt(
                        "a row of user_events was inserted under another id than its own; nothing was written: \
                         drop the trigger that changes event_id",
                    ));
                }
            }
            Err(failure) => {
                if fault::code(&failure).is_none() {
                    return Err(failure);
                }
                session.run(FLIGHT_LIMIT, async |client| Ok(client.batch_execute(ROLL_BACK).await?))?;
                match set {
                    [row] => match fault::code_of_row(session, &failure)? {
                        Some(code) => others.push((row.0, Became::Refused(code))),
                        None => return Err(failure),
                    },
                    _ => {
                        let (first, second) = set.split_at(set.len() / 2);
                        sets.extend([second, first]);
                    }
                }
            }
        }
    }
    // All candidates of these ids: what is known of one says nothing of the next.
    let ids = left_out.iter().flat_map(|row| intake.of_id(row.1.event_id));
    let asked: Vec<usize> = ids.map(|(_, number)| *number).collect();
    let stored = probe(session, asked.len(), |place| intake.candidate(asked[place]))?;
    let known = asked.into_iter().zip(stored).filter(|(_, stored)| *stored != Stored::Unknown);
    let known: BTreeMap<usize, Stored> = known.collect();
    let without = left_out.iter().filter(|row| !known.contains_key(&row.0));
    others.extend(without.map(|row| (row.0, Became::Refused(LEFT_OUT.to_owned()))));
    others.extend(known.into_iter().map(|(number, stored)| (number, Became::Known(stored))));
    Ok(others)
}

/// Inserts rows behind a savepoint and returns the ids of those that came to be.
async fn insert_set(
    client: &Client,
    rows: &[(usize, Candidate<'_>, Source<'_>)],
) -> Result<Vec<String>, Failure> {
    let texts: [Vec<&str>; 6] = [
        rows.iter().map(|row| row.1.event_id).collect(),
        rows.iter().map(|row| row.1.payload.user_id).collect(),
        rows.iter().map(|row| row.1.payload.product_id).collect(),
        rows.iter().map(|row| row.1.payload.product_name).collect(),
        rows.iter().map(|row| row.1.payload.category).collect(),
        rows.iter().map(|row| row.1.payload.event_type.as_str()).collect(),
    ];
    let [ids, users, products, names, categories, types] = &texts;
    let cents: Vec<i64> = rows.iter().map(|row| row.1.payload.price_cents).collect();
    let at: Vec<Us> = rows.iter().map(|row| Us(row.1.payload.time_us)).collect();
    let batches: Vec<i64> = rows.iter().map(|row| row.2.batch_id).collect();
    let origins: Vec<&str> = rows.iter().map(|row| &*row.2.origin).collect();
    let positions: Vec<i64> = rows.iter().map(|row| row.2.position).collect();
    let statement = Statement::new(SQL)
        .arg(ids, Type::TEXT_ARRAY)
        .arg(users, Type::TEXT_ARRAY)
        .arg(products, Type::TEXT_ARRAY)
        .arg(names, Type::TEXT_ARRAY)
        .arg(categories, Type::TEXT_ARRAY)
        .arg(&cents, Type::INT8_ARRAY)
        .arg(types, Type::TEXT_ARRAY)
        .arg(&at, Type::TIMESTAMPTZ_ARRAY)
        .arg(&batches, Type::INT8_ARRAY)
        .arg(&origins, Type::TEXT_ARRAY)
        .arg(&positions, Type::INT8_ARRAY);
    let replies = fly(client, SAVEPOINT, vec![statement]).await?;
    let ids = replies[0].rows.iter().map(|row| Ok(row.try_get(0)?));
    ids.collect()
}

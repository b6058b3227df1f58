//! The SQL that stores share ([`crate::ledger`]), run on PostgreSQL.
//!
//! Rows are taken off the connection in pieces of bounded length; each piece has the time limit, so a long result
//! may take its time and a dead connection may not. Nothing is converted that could change a number: a column of
//! another type than ours halts.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::Stream;
use telemetra_engine::sink::SinkError;
use tokio_postgres::{
    RowStream, Statement,
    types::{FromSql, Kind, ToSql, Type},
};

use super::{failure::Failure, session::Session, values::EPOCH_MS};
use crate::ledger::{Arg, Cell, Row, Snapshot, instant::YEARS_MS};

/// Longest wait for an answer, unless another limit is given.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Rows taken off the connection at once.
const PIECE_ROWS: usize = 1_000;
/// What is said of a `timestamp`.
const NO_ZONE: &str = "has no zone; `telemetra migrate` gives it one";

/// What an open transaction sees.
#[derive(Debug)]
pub(super) struct PgSnapshot<'tx> {
    session: &'tx Session,
    limit: Duration,
    prepared: HashMap<String, Statement>,
}

impl<'tx> PgSnapshot<'tx> {
    /// The view of the transaction that is open on `session`.
    pub(super) fn within(session: &'tx Session) -> Self {
        Self { session, limit: ANSWER_LIMIT, prepared: HashMap::new() }
    }

    /// Gives the server `limit` for each answer.
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, Failure> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.session.run(self.limit, async |client| Ok(client.prepare(sql).await?))?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn read(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        take: &mut dyn FnMut(&Row) -> Result<(), SinkError>,
    ) -> Result<(), Failure> {
        let statement = self.statement(sql)?;
        let parameters = parameters(&statement, args)?;
        let begun =
            self.session.run(self.limit, async |client| Ok(client.query_raw(&statement, parameters).await?));
        let mut rows = Box::pin(begun?);
        let mut row = Row::new(statement.columns().iter().map(tokio_postgres::Column::name));
        loop {
            let piece = self.session.run(self.limit, async |_| piece(rows.as_mut()).await)?;
            for next in &piece {
                row.fill((0..next.len()).map(|column| cell(next, column)))?;
                take(&row)?;
            }
            if piece.len() < PIECE_ROWS {
                return Ok(());
            }
        }
    }
}

impl Snapshot for PgSnapshot<'_> {
    fn each(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        take: &mut dyn FnMut(&Row) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        self.read(sql, args, take).map_err(Failure::into_sink_error)
    }
}

/// The next rows; fewer than [`PIECE_ROWS`] at the end.
async fn piece(mut rows: Pin<&mut RowStream>) -> Result<Vec<tokio_postgres::Row>, Failure> {
    let mut piece = Vec::new();
    while piece.len() < PIECE_ROWS {
        match poll_fn(|context| rows.as_mut().poll_next(context)).await {
            Some(row) => piece.push(row?),
            None => break,
        }
    }
    Ok(piece)
}

/// A parameter as the server inferred its type.
type Parameter<'a> = Box<dyn ToSql + Sync + 'a>;

fn parameters<'a>(statement: &Statement, args: &[Arg<'a>]) -> Result<Vec<Parameter<'a>>, Failure> {
    if statement.params().len() != args.len() {
        let wanted = statement.params().len();
        return Err(Failure::halt(format!("a query has {wanted} parameters, {} are given", args.len())));
    }
    args.iter().zip(statement.params()).map(|(arg, wanted)| parameter(*arg, wanted)).collect()
}

fn parameter<'a>(arg: Arg<'a>, wanted: &Type) -> Result<Parameter<'a>, Failure> {
    let refused = || Failure::halt(format!("a parameter of type {wanted} cannot be {arg:?}"));
    Ok(match arg {
        Arg::Int(number) => match *wanted {
            Type::INT8 => Box::new(number),
            Type::INT4 => Box::new(i32::try_from(number).map_err(|_| refused())?),
            Type::INT2 => Box::new(i16::try_from(number).map_err(|_| refused())?),
            _ => return Err(refused()),
        },
        Arg::Text(text) if <&str as ToSql>::accepts(wanted) => Box::new(text),
        Arg::TextOrNull(text) if <&str as ToSql>::accepts(wanted) => Box::new(text),
        Arg::Instant(ms) if *wanted == Type::TIMESTAMPTZ => Box::new(system_time(ms)),
        Arg::Instant(_) if *wanted == Type::TIMESTAMP => {
            return Err(Failure::halt(format!("an instant in the store {NO_ZONE}")));
        }
        Arg::Text(_) | Arg::TextOrNull(_) | Arg::Instant(_) => return Err(refused()),
    })
}

/// An instant, moved into the years that every store holds.
fn system_time(ms: i64) -> SystemTime {
    let ms = ms.clamp(*YEARS_MS.start(), *YEARS_MS.end());
    let distance = Duration::from_millis(ms.unsigned_abs());
    if ms < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

fn cell(row: &tokio_postgres::Row, column: usize) -> Result<Cell, Failure> {
    let Decoded(decoded) = row.try_get(column)?;
    decoded.map_err(|what| {
        let name = row.columns().get(column).map_or("a column", tokio_postgres::Column::name);
        Failure::halt(format!("{name} in the store {what}"))
    })
}

/// A value, or why it is none of ours.
struct Decoded(Result<Cell, String>);

type Boxed = Box<dyn std::error::Error + Sync + Send>;

impl<'row> FromSql<'row> for Decoded {
    fn from_sql(of: &Type, raw: &'row [u8]) -> Result<Self, Boxed> {
        Ok(Self(decode(of, raw).unwrap_or_else(|error| Err(format!("cannot be read ({error})")))))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self(Ok(Cell::Null)))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn decode(of: &Type, raw: &[u8]) -> Result<Result<Cell, String>, Boxed> {
    Ok(Ok(match *of {
        Type::BOOL => Cell::Int(i64::from(bool::from_sql(of, raw)?)),
        Type::INT2 => Cell::Int(i64::from(i16::from_sql(of, raw)?)),
        Type::INT4 => Cell::Int(i64::from(i32::from_sql(of, raw)?)),
        Type::INT8 => Cell::Int(i64::from_sql(of, raw)?),
        Type::FLOAT4 => Cell::Real(f64::from(f32::from_sql(of, raw)?)),
        Type::FLOAT8 => Cell::Real(f64::from_sql(of, raw)?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => Cell::Text(String::from_sql(of, raw)?),
        Type::BYTEA => Cell::Bytes(raw.to_vec()),
        Type::JSON => Cell::Text(str::from_utf8(raw)?.to_owned()),
        // One byte of version, 1, before the text.
        Type::JSONB => match raw.split_first() {
            Some((1, text)) => Cell::Text(str::from_utf8(text)?.to_owned()),
            _ => return Ok(Err("is jsonb of an unknown version".into())),
        },
        Type::TIMESTAMPTZ => return Ok(decode_instant(raw)?),
        Type::TIMESTAMP => {
            return Ok(Err(NO_ZONE.into()));
        }
        _ => match of.kind() {
            Kind::Array(Type::TEXT | Type::VARCHAR) => {
                let texts = Vec::<Option<String>>::from_sql(of, raw)?;
                Cell::Texts(texts.into_iter().flatten().collect())
            }
            _ => return Ok(Err(format!("is of type {of}, which telemetra does not read"))),
        },
    }))
}

/// Microseconds since PostgreSQL's epoch, the ends of the range for infinity.
fn decode_instant(raw: &[u8]) -> Result<Result<Cell, String>, std::array::TryFromSliceError> {
    let us = i64::from_be_bytes(raw.try_into()?);
    if us == i64::MIN || us == i64::MAX {
        return Ok(Err("is an infinite instant".into()));
    }
    Ok(Ok(Cell::Instant(us.div_euclid(1_000) + EPOCH_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_by_their_type() {
        let check = |of: Type, raw: &[u8], expected: Cell| {
            assert_eq!(decode(&of, raw).unwrap(), Ok(expected), "{of}");
        };
        check(Type::BOOL, &[1], Cell::Int(1));
        check(Type::INT2, &(-2_i16).to_be_bytes(), Cell::Int(-2));
        check(Type::INT4, &(-2_i32).to_be_bytes(), Cell::Int(-2));
        check(Type::INT8, &i64::MAX.to_be_bytes(), Cell::Int(i64::MAX));
        check(Type::FLOAT8, &0.1_f64.to_be_bytes(), Cell::Real(0.1));
        check(Type::VARCHAR, "é".as_bytes(), Cell::Text("é".into()));
        check(Type::JSONB, b"\x014.5", Cell::Text("4.5".into()));
        check(Type::TIMESTAMPTZ, &0_i64.to_be_bytes(), Cell::Instant(EPOCH_MS));
        check(Type::TIMESTAMPTZ, &(-1_i64).to_be_bytes(), Cell::Instant(EPOCH_MS - 1));
    }

    #[test]
    fn other_types_are_named_and_refused() {
        let check = |of: Type, raw: &[u8], words: &str| {
            let Decoded(decoded) = Decoded::from_sql(&of, raw).unwrap();
            let text = decoded.unwrap_err();
            assert!(text.contains(words), "{text}");
        };
        check(Type::NUMERIC, &[0; 8], "is of type numeric");
        check(Type::TIMESTAMP, &[0; 8], "has no zone");
        check(Type::TIMESTAMPTZ, &i64::MAX.to_be_bytes(), "infinite");
        check(Type::JSONB, b"\x02{}", "unknown version");
        check(Type::INT4_ARRAY, &[0; 12], "is of type _int4");
        check(Type::INT8, &[0; 3], "cannot be read");
    }

    #[test]
    fn parameters_follow_the_type_that_the_server_inferred() {
        let check = |arg: Arg<'_>, wanted: Type, accepted: bool| {
            assert_eq!(parameter(arg, &wanted).is_ok(), accepted, "{arg:?} as {wanted}");
        };
        check(Arg::Int(1), Type::INT8, true);
        check(Arg::Int(1), Type::INT4, true);
        check(Arg::Int(1 << 40), Type::INT4, false);
        check(Arg::Int(1), Type::TEXT, false);
        check(Arg::TextOrNull(None), Type::VARCHAR, true);
        check(Arg::Text("x"), Type::TIMESTAMPTZ, false);
        check(Arg::Instant(0), Type::TIMESTAMPTZ, true);
        check(Arg::Instant(0), Type::TIMESTAMP, false);
        let edges = [i64::MIN, i64::MAX].map(system_time);
        assert_eq!(edges, [*YEARS_MS.start(), *YEARS_MS.end()].map(system_time));
    }
}

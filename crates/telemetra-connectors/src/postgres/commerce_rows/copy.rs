//! Rows in COPY's binary format (PostgreSQL documentation, "COPY", "Binary Format").

use std::pin::pin;

use futures_util::SinkExt;
use telemetra_core::commerce::rows::Candidate;
use tokio_postgres::{Client, types::private::BytesMut};

use super::{
    super::{failure::Failure, values::Us},
    Source,
    price::Price,
};

const SQL: &str =
    "COPY user_events (event_id, user_id, product_id, product_name, category, price, event_type,
    event_timestamp, batch_id, origin, origin_position) FROM STDIN (FORMAT binary)";
const COLUMNS: i16 = 11;

/// Signature, no flags, no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Instead of a number of columns.
const TRAILER: i16 = -1;
/// Bytes sent at once.
const PIECE_BYTES: usize = 128 << 10;

/// Copies the rows in their order and returns how many came to be.
pub(super) async fn copy<'a>(
    client: &Client,
    rows: impl Iterator<Item = Result<(Candidate<'a>, Source<'a>), Failure>>,
) -> Result<u64, Failure> {
    let mut sink = pin!(client.copy_in(SQL).await?);
    let mut piece = BytesMut::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
    piece.extend_from_slice(HEADER);
    for row in rows {
        let (candidate, source) = row?;
        push(&mut piece, &candidate, &source)?;
        if piece.len() >= PIECE_BYTES {
            sink.send(piece.split().freeze()).await?;
            piece.reserve(PIECE_BYTES + PIECE_BYTES / 8);
        }
    }
    piece.extend_from_slice(&TRAILER.to_be_bytes());
    sink.send(piece.freeze()).await?;
    Ok(sink.finish().await?)
}

fn push(out: &mut BytesMut, candidate: &Candidate<'_>, source: &Source<'_>) -> Result<(), Failure> {
    let payload = &candidate.payload;
    out.extend_from_slice(&COLUMNS.to_be_bytes());
    for text in
        [candidate.event_id, payload.user_id, payload.product_id, payload.product_name, payload.category]
    {
        push_text(out, text)?;
    }
    Price::push(out, payload.price_cents)?;
    push_text(out, payload.event_type.as_str())?;
    push_int(out, Us(payload.time_us).on_the_wire());
    push_int(out, source.batch_id);
    push_text(out, &source.origin)?;
    push_int(out, source.position);
    Ok(())
}

fn push_text(out: &mut BytesMut, text: &str) -> Result<(), Failure> {
    let length = i32::try_from(text.len());
    let length = length.map_err(|_| Failure::halt("a text is longer than the store holds"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn push_int(out: &mut BytesMut, number: i64) {
    out.extend_from_slice(&8_i32.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
}

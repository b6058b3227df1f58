//! Rows in COPY's binary format (PostgreSQL documentation, "COPY", "Binary Format"; numbers as in
//! `src/backend/utils/adt/numeric.c`, `numeric_recv`).

use std::pin::pin;

use futures_util::SinkExt;
use telemetra_core::commerce::rows::Candidate;
use tokio_postgres::{Client, types::private::BytesMut};

use super::{
    super::{failure::Failure, values::Us},
    Source,
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
    push_price(out, payload.price_cents)?;
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

/// A `numeric` of two decimals: digits to the base of 10,000, the first of weight `weight`, none of them 0 at the ends.
fn push_price(out: &mut BytesMut, cents: i64) -> Result<(), Failure> {
    let units = cents / 100;
    let digits = [units / 10_000 % 10_000, units % 10_000, cents % 100 * 100];
    if !(0..10_000_000_000).contains(&cents) {
        return Err(Failure::halt(format!("a price of {cents} hundredths does not fit its column")));
    }
    let from = digits.iter().position(|&digit| digit != 0).unwrap_or(digits.len());
    let to = digits.iter().rposition(|&digit| digit != 0).map_or(from, |last| last + 1);
    let digits = &digits[from..to];
    let count = i16::try_from(digits.len()).expect("at most three");
    let weight = if digits.is_empty() { 0 } else { 1 - i16::try_from(from).expect("at most two") };
    out.extend_from_slice(&(8 + 2 * i32::from(count)).to_be_bytes());
    // Positive, two decimals shown.
    for number in [count, weight, 0, 2] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    for &digit in digits {
        let digit = i16::try_from(digit).expect("less than the base");
        out.extend_from_slice(&digit.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_digits_to_the_base_of_ten_thousand() {
        let check = |cents: i64, weight: i16, digits: &[i16]| {
            let mut out = BytesMut::new();
            push_price(&mut out, cents).expect("it fits");
            let mut expected = BytesMut::new();
            let count = i16::try_from(digits.len()).expect("few");
            expected.extend_from_slice(&(8 + 2 * i32::from(count)).to_be_bytes());
            let numbers = [count, weight, 0, 2];
            numbers.iter().chain(digits).for_each(|number| expected.extend_from_slice(&number.to_be_bytes()));
            assert_eq!(out, expected, "{cents}");
        };
        check(1, -1, &[100]);
        check(50, -1, &[5_000]);
        check(100, 0, &[1]);
        check(123, 0, &[1, 2_300]);
        check(1_000_000, 1, &[1]);
        check(1_000_001, 1, &[1, 0, 100]);
        check(9_999_999_999, 1, &[9_999, 9_999, 9_900]);
        check(0, 0, &[]);
        let mut out = BytesMut::new();
        assert!(push_price(&mut out, 10_000_000_000).is_err());
        assert!(push_price(&mut out, -1).is_err());
    }
}

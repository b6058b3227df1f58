//! Values of a row as stores give them, and as what they must be read.
//!
//! A value that is not what its column must hold halts by the column's name: it is never taken for another.

use telemetra_engine::sink::SinkError;

use super::{instant, uint};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// NULL.
    Null,
    /// An integer, a boolean as 0 or 1.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// An instant, milliseconds since the Unix epoch. SQLite keeps instants as text: [`Row::instant`] reads both.
    Instant(i64),
    /// An array of texts. SQLite keeps it as JSON text: [`Row::texts_or_null`] reads both.
    Texts(Vec<String>),
}

impl Cell {
    fn kind(&self) -> &'static str {
        match self {
            Cell::Null => "NULL",
            Cell::Int(_) => "an integer",
            Cell::Real(_) => "a floating-point number",
            Cell::Text(_) => "text",
            Cell::Bytes(_) => "raw bytes",
            Cell::Instant(_) => "an instant",
            Cell::Texts(_) => "an array",
        }
    }
}

/// A row of a result; columns by number, from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    names: Vec<String>,
    cells: Vec<Cell>,
}

impl Row {
    /// A row without values, of columns with these names.
    pub(crate) fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), cells: Vec::new() }
    }

    /// Replaces the values by those of the next row.
    ///
    /// # Errors
    /// The first error among `cells`.
    pub(crate) fn fill<E>(&mut self, cells: impl IntoIterator<Item = Result<Cell, E>>) -> Result<(), E> {
        self.cells.clear();
        cells.into_iter().try_for_each(|cell| {
            self.cells.push(cell?);
            Ok(())
        })
    }

    fn cell(&self, column: usize) -> &Cell {
        self.cells.get(column).unwrap_or(&Cell::Null)
    }

    fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("a column", String::as_str)
    }

    /// What to say of a value that cannot be.
    fn wrong(&self, column: usize, needed: &str) -> SinkError {
        let (name, kind) = (self.name(column), self.cell(column).kind());
        SinkError::Halt(format!("{name} is {kind} in the store, {needed} is needed; restore a backup"))
    }

    /// The value that `read` makes of a cell; `None` for NULL.
    fn read<'row, T>(
        &'row self,
        column: usize,
        needed: &str,
        read: impl FnOnce(&'row Cell) -> Option<T>,
    ) -> Result<Option<T>, SinkError> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            cell => read(cell).map(Some).ok_or_else(|| self.wrong(column, needed)),
        }
    }

    /// An integer.
    pub(crate) fn int(&self, column: usize) -> Result<i64, SinkError> {
        self.int_or_null(column)?.ok_or_else(|| self.wrong(column, "an integer"))
    }

    /// An integer, or NULL.
    pub(crate) fn int_or_null(&self, column: usize) -> Result<Option<i64>, SinkError> {
        self.read(column, "an integer", |cell| match cell {
            Cell::Int(number) => Some(*number),
            _ => None,
        })
    }

    /// Consecutive integers.
    pub(crate) fn ints<const N: usize>(&self, first: usize) -> Result<[i64; N], SinkError> {
        let mut numbers = [0; N];
        for (column, number) in (first..).zip(&mut numbers) {
            *number = self.int(column)?;
        }
        Ok(numbers)
    }

    /// An integer that cannot be negative; `what` names it to people.
    pub(crate) fn uint(&self, column: usize, what: &str) -> Result<u64, SinkError> {
        uint(self.int(column)?, what)
    }

    /// An integer that cannot be negative and fits into 32 bits; `what` names it to people.
    pub(crate) fn uint32(&self, column: usize, what: &str) -> Result<u32, SinkError> {
        let number = self.uint(column, what)?;
        u32::try_from(number).map_err(|_| {
            SinkError::Halt(format!("{what} is {number} in the store, which is too large; restore a backup"))
        })
    }

    /// A truth value.
    pub(crate) fn bool(&self, column: usize) -> Result<bool, SinkError> {
        match self.int(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong(column, "0 or 1")),
        }
    }

    /// Text.
    pub(crate) fn text(&self, column: usize) -> Result<String, SinkError> {
        self.text_or_null(column)?.ok_or_else(|| self.wrong(column, "text"))
    }

    /// Text, or NULL.
    pub(crate) fn text_or_null(&self, column: usize) -> Result<Option<String>, SinkError> {
        self.read(column, "text", |cell| match cell {
            Cell::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Raw bytes.
    pub(crate) fn bytes(&self, column: usize) -> Result<Vec<u8>, SinkError> {
        self.bytes_or_null(column)?.ok_or_else(|| self.wrong(column, "raw bytes"))
    }

    /// Raw bytes, or NULL.
    pub(crate) fn bytes_or_null(&self, column: usize) -> Result<Option<Vec<u8>>, SinkError> {
        self.read(column, "raw bytes", |cell| match cell {
            Cell::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        })
    }

    /// A floating-point number, or NULL; integers are numbers too.
    pub(crate) fn real_or_null(&self, column: usize) -> Result<Option<f64>, SinkError> {
        self.read(column, "a number", |cell| match cell {
            Cell::Real(number) => Some(*number),
            Cell::Int(number) => Some(*number as f64),
            _ => None,
        })
    }

    /// An instant, milliseconds.
    pub(crate) fn instant(&self, column: usize) -> Result<i64, SinkError> {
        self.instant_or_null(column)?.ok_or_else(|| self.wrong(column, "an instant"))
    }

    /// An instant, milliseconds, or NULL.
    pub(crate) fn instant_or_null(&self, column: usize) -> Result<Option<i64>, SinkError> {
        if let Cell::Text(text) = self.cell(column) {
            let name = self.name(column);
            return instant::parse_instant(text).map(Some).ok_or_else(|| {
                SinkError::Halt(format!("{name} {text:?} in the store is no instant of ours"))
            });
        }
        self.read(column, "an instant", |cell| match cell {
            Cell::Instant(ms) => Some(*ms),
            _ => None,
        })
    }

    /// An array of texts, or NULL.
    pub(crate) fn texts_or_null(&self, column: usize) -> Result<Option<Vec<String>>, SinkError> {
        self.read(column, "an array of texts", |cell| match cell {
            Cell::Texts(texts) => Some(texts.clone()),
            Cell::Text(json) => serde_json::from_str(json).ok(),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cell: Cell) -> Row {
        let mut row = Row::new(["value"]);
        row.fill([Ok::<_, SinkError>(cell)]).unwrap();
        row
    }

    #[track_caller]
    fn refuse<T: std::fmt::Debug>(read: Result<T, SinkError>, words: &str) {
        match read {
            Err(SinkError::Halt(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn values_are_read_as_what_they_are() {
        assert_eq!(row(Cell::Int(-3)).int(0).unwrap(), -3);
        assert_eq!(row(Cell::Int(3)).uint32(0, "x").unwrap(), 3);
        assert!(row(Cell::Int(1)).bool(0).unwrap());
        assert_eq!(row(Cell::Int(2)).real_or_null(0).unwrap(), Some(2.0));
        let at = 1_735_689_610_000;
        assert_eq!(row(Cell::Instant(at)).instant(0).unwrap(), at);
        assert_eq!(row(Cell::Text("2025-01-01T00:00:10.000Z".into())).instant(0).unwrap(), at);
        let texts = Some(vec!["a\"".to_owned(), "b".to_owned()]);
        assert_eq!(row(Cell::Text(r#"["a\"","b"]"#.into())).texts_or_null(0).unwrap(), texts);
        assert_eq!(row(Cell::Texts(texts.clone().unwrap())).texts_or_null(0).unwrap(), texts);
        let null = row(Cell::Null);
        assert_eq!(null.int_or_null(0).unwrap(), None);
        assert_eq!(null.text_or_null(0).unwrap(), None);
        assert_eq!(null.instant_or_null(0).unwrap(), None);
        assert_eq!(null.texts_or_null(0).unwrap(), None);
    }

    #[test]
    fn what_a_value_is_not_halts_by_name() {
        refuse(row(Cell::Null).int(0), "value is NULL in the store, an integer is needed");
        refuse(row(Cell::Real(1.0)).int_or_null(0), "value is a floating-point number");
        refuse(row(Cell::Int(2)).bool(0), "0 or 1 is needed");
        refuse(row(Cell::Int(-1)).uint(0, "next_offset"), "next_offset is -1 in the store, which cannot be");
        refuse(row(Cell::Int(1 << 32)).uint32(0, "partition"), "partition is 4294967296");
        refuse(row(Cell::Int(0)).text(0), "value is an integer in the store, text is needed");
        refuse(row(Cell::Text("x".into())).instant(0), "value \"x\" in the store is no instant of ours");
        refuse(row(Cell::Int(5)).instant(0), "an instant is needed");
        refuse(row(Cell::Text("x".into())).texts_or_null(0), "an array of texts is needed");
        refuse(Row::default().text(3), "a column is NULL");
    }
}

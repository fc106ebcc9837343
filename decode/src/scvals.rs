//! Columns of `SCVal`s made into columns of what they hold; a value of another type than is asked for becomes NULL.
//!
//! Nothing is known of the bytes: each value is walked before it is read.
use crate::column::{Binary, Bits, Column};
use crate::cursor::Cursor;
use crate::integer::Integer;
use crate::ledger::word_at;
use crate::skip;
use crate::token::value::{self, kind};

/// Bytes of an `SCVal` of type i128.
const MOST_NARROW: usize = 20;

/// A column of values of any length that may be NULL.
#[derive(Debug, Default)]
pub struct Found {
    /// Which rows have a value.
    pub validity: Bits,
    /// The values.
    pub values: Binary,
    /// Rows that have none.
    pub nulls: usize,
}

impl Found {
    fn push(&mut self, value: Option<&[u8]>) {
        self.values.push(value.unwrap_or_default());
        self.mark(value.is_some());
    }

    fn mark(&mut self, has: bool) {
        self.validity.push(has);
        self.nulls += usize::from(!has);
    }

    /// What `read` finds in each value.
    fn of<'a>(column: &Column<'a>, read: impl Fn(&'a [u8]) -> Option<&'a [u8]>) -> Self {
        let mut found = Found::default();
        (0..column.length).for_each(|row| found.push(whole(column, row).and_then(&read)));
        found
    }

    /// The strkeys of addresses, without their checksum; of a muxed account that of the account.
    pub fn addresses(column: &Column) -> Self {
        let mut found = Found::default();
        for row in 0..column.length {
            let party = whole(column, row).and_then(value::address);
            found.push(party.as_ref().map(|party| party.address.bytes()));
        }
        found
    }

    /// What symbols, strings or bytes hold, whichever is asked for by its `SCValType`.
    pub fn texts(column: &Column, kind: u32) -> Self {
        Self::of(column, |value| value::text(value, kind))
    }

    /// One element of each vector.
    pub fn elements(column: &Column, index: u32) -> Self {
        Self::of(column, |value| element(value, index))
    }

    /// One field of each map, by its name, a symbol.
    pub fn fields(column: &Column, name: &[u8]) -> Self {
        Self::of(column, |value| value::fields(value, [name])?[0])
    }

    /// Integers of up to 128 bits, as decimals of 256 bits.
    pub fn integers(column: &Column) -> Self {
        let mut found = Found::default();
        for row in 0..column.length {
            let narrow = column.get(row).filter(|value| value.len() <= MOST_NARROW);
            let has = narrow.and_then(Integer::of_value).map(Integer::decimal);
            found.values.content.extend_from_slice(&has.unwrap_or_default());
            found.mark(has.is_some());
        }
        found
    }
}

/// `SCValType` by the name that Python gives it.
pub fn text_kind(name: &str) -> Option<u32> {
    Some(match name {
        "symbol" => kind::SYMBOL,
        "string" => kind::STRING,
        "bytes" => kind::BYTES,
        _ => return None,
    })
}

/// The value of a row, if it is one `SCVal` and nothing more.
fn whole<'a>(column: &Column<'a>, row: usize) -> Option<&'a [u8]> {
    column.get(row).filter(|value| is_whole(value))
}

/// Whether these bytes are one `SCVal` and nothing more.
pub fn is_whole(value: &[u8]) -> bool {
    let mut cursor = Cursor::new(value);
    skip::sc_val(&mut cursor).is_ok() && cursor.at() == value.len()
}

fn element(value: &[u8], index: u32) -> Option<&[u8]> {
    if value::kind_of(value) != kind::VEC || word_at(value, 4) == 0 || word_at(value, 8) <= index {
        return None;
    }
    let mut rest = &value[12..];
    for _ in 0..index {
        value::next(&mut rest)?;
    }
    value::next(&mut rest)
}

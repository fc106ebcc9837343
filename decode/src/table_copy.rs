//! Columns that a plug-in has made, checked value by value and written as binary COPY.
use crate::column::Column;
use crate::copy::Stream;
use crate::integer::Integer;
use crate::scvals::is_whole;

/// What a column holds, and what PostgreSQL takes it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Boolean,
    /// `int4`.
    Int4,
    /// `int8`.
    Int8,
    /// `bytea`, or `text` in UTF-8.
    Bytes,
    /// `bytea`: an `SCVal`.
    Value,
    /// `bytea`: 32 bytes.
    Contract,
    /// `bytea`: an address, its strkey without checksum.
    Address,
    /// `numeric`: an integer of any size.
    Integer,
    /// `int2` above zero.
    Code,
    /// `int8`: a `u32`.
    U32,
}

impl Kind {
    /// By the name that Python gives it.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Kind::Boolean,
            "int4" => Kind::Int4,
            "int8" => Kind::Int8,
            "bytes" => Kind::Bytes,
            "value" => Kind::Value,
            "contract" => Kind::Contract,
            "address" => Kind::Address,
            "integer" => Kind::Integer,
            "code" => Kind::Code,
            "u32" => Kind::U32,
            _ => return None,
        })
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// For messages.
    pub name: &'a str,
    /// What it holds.
    pub kind: Kind,
    /// Whether a row may have no value.
    pub nullable: bool,
    /// Integers are `SCVal`s, not decimals.
    pub is_values: bool,
    /// Its rows.
    pub column: Column<'a>,
}

/// Version bytes of strkeys (SEP-23) with 32 bytes behind them: accounts, contracts, liquidity pools.
const PLAIN: [u8; 3] = [6 << 3, 2 << 3, 11 << 3];
/// Of claimable balances, with a byte of zero and 32 bytes behind them.
const BALANCE: [u8; 2] = [1 << 3, 0];

/// Writes `rows` rows of these columns without header and trailer, or says what is wrong with the first that cannot be.
pub fn rows(fields: &[Field], rows: usize) -> Result<Stream, String> {
    let mut out = Stream::default();
    for row in 0..rows {
        out.row(fields.len() as u16);
        for field in fields {
            field.write(row, &mut out).map_err(|what| format!("{}: {what}", field.name))?;
        }
    }
    Ok(out)
}

impl Field<'_> {
    fn write(&self, row: usize, out: &mut Stream) -> Result<(), String> {
        let column = &self.column;
        if !column.has(row) {
            out.null();
            return if self.nullable { Ok(()) } else { Err("a row without a value".to_owned()) };
        }
        match self.kind {
            Kind::Boolean => out.boolean(column.boolean(row)),
            Kind::Int4 => out.int4(i32::from_ne_bytes(*column.fixed(row))),
            Kind::Int8 => out.int8(i64::from_ne_bytes(*column.fixed(row))),
            Kind::Bytes => out.bytea(column.bytes(row)),
            Kind::Value if is_whole(column.bytes(row)) => out.bytea(column.bytes(row)),
            Kind::Value => return Err(format!("no ScVal: {}", hex(column.bytes(row)))),
            Kind::Contract => match column.bytes(row).try_into() {
                Ok(contract) => out.hash(contract),
                Err(_) => return Err(format!("{} bytes where a contract has 32", column.bytes(row).len())),
            },
            Kind::Address if is_address(column.bytes(row)) => out.bytea(column.bytes(row)),
            Kind::Address => return Err(format!("no address: {}", hex(column.bytes(row)))),
            Kind::Integer => self.integer(row)?.write(out),
            Kind::Code => out.int2(self.within(row, 1, i16::MAX.into())? as i16),
            Kind::U32 => out.int8(self.within(row, 0, u32::MAX.into())? as i64),
        }
        Ok(())
    }

    fn integer(&self, row: usize) -> Result<Integer, String> {
        if !self.is_values {
            return Ok(Integer::of_decimal(self.column.fixed(row)));
        }
        let value = self.column.bytes(row);
        Integer::of_value(value).ok_or_else(|| format!("no integer: {}", hex(value)))
    }

    fn within(&self, row: usize, least: i128, most: i128) -> Result<i128, String> {
        let narrow = self.integer(row)?.narrow();
        narrow.filter(|number| (least..=most).contains(number)).ok_or_else(|| match narrow {
            Some(number) => format!("{number} is not within {least} to {most}"),
            None => format!("a number of more than 128 bits is not within {least} to {most}"),
        })
    }
}

fn is_address(bytes: &[u8]) -> bool {
    match bytes.len() {
        33 => PLAIN.contains(&bytes[0]),
        34 => bytes[..2] == BALANCE,
        _ => false,
    }
}

/// At most the first forty bytes.
fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 40 { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
}

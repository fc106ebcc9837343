//! Reads the `SCVal`s of an event where they stand; the walk has checked that they are whole.
use crate::copy::Stream;
use crate::cursor::Cursor;
use crate::ledger::{hash_at, long_at, word_at};
use crate::skip;

/// Members of `SCValType`.
pub mod kind {
    /// `SCV_BOOL`.
    pub const BOOL: u32 = 0;
    /// `SCV_VOID`.
    pub const VOID: u32 = 1;
    /// `SCV_U32`.
    pub const U32: u32 = 3;
    /// `SCV_U64`.
    pub const U64: u32 = 5;
    /// `SCV_U128`.
    pub const U128: u32 = 9;
    /// `SCV_I128`.
    pub const I128: u32 = 10;
    /// `SCV_U256`.
    pub const U256: u32 = 11;
    /// `SCV_BYTES`.
    pub const BYTES: u32 = 13;
    /// `SCV_STRING`.
    pub const STRING: u32 = 14;
    /// `SCV_SYMBOL`.
    pub const SYMBOL: u32 = 15;
    /// `SCV_VEC`.
    pub const VEC: u32 = 16;
    /// `SCV_MAP`.
    pub const MAP: u32 = 17;
    /// `SCV_ADDRESS`.
    pub const ADDRESS: u32 = 18;
}

/// Version bytes of strkeys (SEP-23).
const ACCOUNT: u8 = 6 << 3;
const CONTRACT: u8 = 2 << 3;
const BALANCE: u8 = 1 << 3;
const POOL: u8 = 11 << 3;

/// A strkey without its checksum: version byte and payload, 33 bytes, of a claimable balance 34.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 34]);

impl Address {
    /// Puts them together.
    pub fn new(version: u8, payload: &[u8]) -> Self {
        let mut bytes = [0; 34];
        bytes[0] = version;
        bytes[1..=payload.len()].copy_from_slice(payload);
        Address(bytes)
    }

    /// Version byte and payload.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        if self.0[0] == BALANCE { &self.0 } else { &self.0[..33] }
    }
}

/// What tells the users of one account apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Muxed<'a> {
    /// Nothing.
    None,
    /// The id of a muxed account.
    Id(u64),
    /// The `SCVal` in an event's data.
    Value(&'a [u8]),
}

impl Muxed<'_> {
    /// Writes it as the XDR of an `SCVal`.
    pub fn write(self, row: &mut Stream) {
        match self {
            Muxed::None => row.null(),
            Muxed::Id(id) => {
                let mut value = [0; 12];
                value[3] = kind::U64 as u8;
                value[4..].copy_from_slice(&id.to_be_bytes());
                row.bytea(&value);
            }
            Muxed::Value(value) => row.bytea(value),
        }
    }
}

/// One side of an event: the plain account of a muxed one, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party<'a> {
    /// Who it is.
    pub address: Address,
    /// Whom it stands for.
    pub muxed: Muxed<'a>,
}

/// The `SCValType` of the value at the start.
#[inline]
pub fn kind_of(value: &[u8]) -> u32 {
    word_at(value, 0)
}

/// Takes the first value off, if there is one.
#[inline]
pub fn next<'a>(values: &mut &'a [u8]) -> Option<&'a [u8]> {
    if values.is_empty() {
        return None;
    }
    let (first, rest) = values.split_at(length(values));
    *values = rest;
    Some(first)
}

/// Bytes of the value at the start; those that every token's event has are known without a walk.
#[inline]
fn length(values: &[u8]) -> usize {
    match kind_of(values) {
        kind::SYMBOL | kind::STRING => 8 + (word_at(values, 4) as usize).next_multiple_of(4),
        kind::ADDRESS if word_at(values, 4) == 0 => 44,
        kind::ADDRESS if word_at(values, 4) == 1 => 40,
        _ => {
            let mut cursor = Cursor::new(values);
            skip::sc_val(&mut cursor).expect("the walk went past it");
            cursor.at()
        }
    }
}

/// The text of a symbol, a string or bytes, whichever is asked for.
#[inline]
pub fn text(value: &[u8], kind: u32) -> Option<&[u8]> {
    (kind_of(value) == kind).then(|| &value[8..8 + word_at(value, 4) as usize])
}

/// A boolean.
pub fn boolean(value: &[u8]) -> Option<bool> {
    (kind_of(value) == kind::BOOL).then(|| word_at(value, 4) == 1)
}

/// A `u32`.
pub fn u32(value: &[u8]) -> Option<u32> {
    (kind_of(value) == kind::U32).then(|| word_at(value, 4))
}

/// An `i128`.
#[inline]
pub fn i128(value: &[u8]) -> Option<i128> {
    (kind_of(value) == kind::I128).then(|| i128::from(long_at(value, 4) as i64) << 64 | i128::from(long_at(value, 12)))
}

/// An address that has a strkey.
#[inline]
pub fn address(value: &[u8]) -> Option<Party<'_>> {
    if kind_of(value) != kind::ADDRESS {
        return None;
    }
    let mut muxed = Muxed::None;
    let address = match word_at(value, 4) {
        0 => Address::new(ACCOUNT, hash_at(value, 12)),
        1 => Address::new(CONTRACT, hash_at(value, 8)),
        2 => {
            muxed = Muxed::Id(long_at(value, 8));
            Address::new(ACCOUNT, hash_at(value, 16))
        }
        // the discriminant of a ClaimableBalanceID is a byte in its strkey
        3 => Address::new(BALANCE, &value[11..44]),
        4 => Address::new(POOL, hash_at(value, 8)),
        _ => return None,
    };
    Some(Party { address, muxed })
}

/// The elements of a vector of exactly `N`.
pub fn elements<const N: usize>(value: &[u8]) -> Option<[&[u8]; N]> {
    if kind_of(value) != kind::VEC || word_at(value, 4) == 0 || word_at(value, 8) as usize != N {
        return None;
    }
    let mut rest = &value[12..];
    Some([(); N].map(|()| next(&mut rest).expect("as many as are counted")))
}

/// The fields of a map by name; None where it is no map, a key is no symbol, or a name comes twice.
///
/// Fields of other names are a contract's own and do no harm (SEP-41).
pub fn fields<'a, const N: usize>(value: &'a [u8], names: [&[u8]; N]) -> Option<[Option<&'a [u8]>; N]> {
    if kind_of(value) != kind::MAP || word_at(value, 4) == 0 {
        return None;
    }
    let (mut found, mut rest) = ([None; N], &value[12..]);
    for _ in 0..word_at(value, 8) {
        let name = text(next(&mut rest)?, kind::SYMBOL)?;
        let field = next(&mut rest)?;
        if let Some(i) = names.iter().position(|wanted| *wanted == name)
            && found[i].replace(field).is_some()
        {
            return None;
        }
    }
    Some(found)
}

//! What an event says as a collectible's (SEP-50).
use crate::token::change::{Category, Change, Reason};
use crate::token::topics::{Name, Topics};
use crate::token::value::{self, Party, address, elements, fields, kind, kind_of};

/// What happened; a token's id is an `SCVal` of up to 36 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sep50<'a> {
    /// A token has another owner; a mint has no old one, a burn no new one.
    Moved { reason: Reason, from: Option<Party<'a>>, to: Option<Party<'a>>, token: &'a [u8] },
    /// Somebody may move a token, or without one all tokens of the owner.
    Approved { owner: Party<'a>, approved: Party<'a>, token: Option<&'a [u8]>, live_until: u32 },
}

impl Sep50<'_> {
    /// Tells one side after the other; the amount of a token is one.
    pub fn changes(&self, mut tell: impl FnMut(Change)) {
        match self {
            Sep50::Moved { reason, from, to, token } => {
                let (giver, taker) = (from.as_ref(), to.as_ref());
                let new = |party, other| Change {
                    token: Some(token),
                    ..Change::new(Category::Ownership, *reason, party, other)
                };
                if let Some(party) = giver {
                    tell(Change { amount: Some(-1), ..new(party, taker) });
                }
                if let Some(party) = taker {
                    tell(Change { side: i32::from(giver.is_some()), amount: Some(1), ..new(party, giver) });
                }
            }
            Sep50::Approved { owner, approved, token, live_until } => {
                let reason = if token.is_some() { Reason::Approve } else { Reason::ApproveForAll };
                let change = Change::new(Category::Allowance, reason, owner, Some(approved));
                tell(Change { token: *token, live_until: Some(*live_until), ..change });
            }
        }
    }
}

/// Whether SEP-50 has an event of this name.
pub fn has(name: Name) -> bool {
    matches!(name, Name::Transfer | Name::Mint | Name::Burn | Name::Approve | Name::ApproveForAll)
}

/// Reads an operation's event; None where its types are not those of a collectible.
pub fn read<'a>(topics: &Topics<'a>, data: &'a [u8]) -> Option<Sep50<'a>> {
    if topics.asset.is_some() {
        return None;
    }
    match topics.name {
        Name::Transfer => {
            let [from, to] = topics.parties()?;
            Some(Sep50::Moved { reason: Reason::Transfer, from: Some(from), to: Some(to), token: token(data)? })
        }
        Name::Mint => {
            let [to] = topics.parties()?;
            Some(Sep50::Moved { reason: Reason::Mint, from: None, to: Some(to), token: token(data)? })
        }
        Name::Burn => {
            let [from] = topics.parties()?;
            Some(Sep50::Moved { reason: Reason::Burn, from: Some(from), to: None, token: token(data)? })
        }
        Name::Approve => approved(topics, data),
        Name::ApproveForAll => {
            let [owner] = topics.parties()?;
            let [operator, live_until] = two(data, [b"operator", b"live_until_ledger"])?;
            let (approved, live_until) = (address(operator)?, value::u32(live_until)?);
            Some(Sep50::Approved { owner, approved, token: None, live_until })
        }
        _ => None,
    }
}

/// The standard gives two shapes: topics owner and token, or, beside the function, topics owner and approved.
fn approved<'a>(topics: &Topics<'a>, data: &'a [u8]) -> Option<Sep50<'a>> {
    let [owner, second] = topics.values() else { return None };
    let owner = address(owner)?;
    let (approved, token, live_until) = match address(second) {
        Some(approved) => {
            let [token, live_until] = two(data, [b"token_id", b"live_until_ledger"])?;
            (approved, id(token)?, live_until)
        }
        None => {
            let [approved, live_until] = two(data, [b"approved", b"live_until_ledger"])?;
            (address(approved)?, id(second)?, live_until)
        }
    };
    Some(Sep50::Approved { owner, approved, token: Some(token), live_until: value::u32(live_until)? })
}

/// A token's id, plain or in a map.
fn token(data: &[u8]) -> Option<&[u8]> {
    if kind_of(data) != kind::MAP {
        return id(data);
    }
    let [token] = fields(data, [b"token_id"])?;
    id(token?)
}

/// "An unsigned integer" of any width.
fn id(value: &[u8]) -> Option<&[u8]> {
    matches!(kind_of(value), kind::U32 | kind::U64 | kind::U128 | kind::U256).then_some(value)
}

/// Two values, in a vector or by name in a map.
fn two<'a>(data: &'a [u8], names: [&[u8]; 2]) -> Option<[&'a [u8]; 2]> {
    if let Some(two) = elements(data) {
        return Some(two);
    }
    let [first, second] = fields(data, names)?;
    Some([first?, second?])
}

//! What an event says as a fungible token's (SEP-41, CAP-67).
use crate::token::change::{Category, Change, Reason};
use crate::token::topics::{Name, Topics};
use crate::token::value::{self, Muxed, Party, elements, fields, kind, kind_of};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sep41<'a> {
    /// An amount that is not negative went from one side to the other; a mint has no first, a burn no second.
    Moved { reason: Reason, from: Option<Party<'a>>, to: Option<Party<'a>>, amount: i128 },
    /// A transaction's fee: what its payer's balance changes by, positive for a refund.
    Fee { payer: Party<'a>, change: i128 },
    /// An allowance was set.
    Approved { owner: Party<'a>, spender: Party<'a>, amount: i128, live_until: u32 },
    /// An account may hold the token, or no longer.
    Authorized { account: Party<'a>, authorized: bool },
    /// Another administrator.
    Admin { old: Party<'a>, new: Party<'a> },
}

impl Sep41<'_> {
    /// Tells one side after the other.
    pub fn changes(&self, mut tell: impl FnMut(Change)) {
        match self {
            Sep41::Moved { reason, from, to, amount } => {
                let (category, reason) = (Category::Balance, *reason);
                let (giver, taker) = (from.as_ref(), to.as_ref());
                if let Some(party) = giver {
                    tell(Change { amount: Some(-amount), ..Change::new(category, reason, party, taker) });
                }
                if let Some(party) = taker {
                    let side = i32::from(giver.is_some());
                    tell(Change { side, amount: Some(*amount), ..Change::new(category, reason, party, giver) });
                }
            }
            Sep41::Fee { payer, change } => {
                tell(Change { amount: Some(*change), ..Change::new(Category::Balance, Reason::Fee, payer, None) });
            }
            Sep41::Approved { owner, spender, amount, live_until } => {
                let change = Change::new(Category::Allowance, Reason::Approve, owner, Some(spender));
                tell(Change { amount: Some(*amount), live_until: Some(*live_until), ..change });
            }
            Sep41::Authorized { account, authorized } => {
                let reason = if *authorized { Reason::Authorize } else { Reason::Deauthorize };
                tell(Change::new(Category::Authorization, reason, account, None));
            }
            Sep41::Admin { old, new } => {
                tell(Change::new(Category::Authorization, Reason::RemoveAdmin, old, Some(new)));
                tell(Change { side: 1, ..Change::new(Category::Authorization, Reason::SetAdmin, new, Some(old)) });
            }
        }
    }
}

/// Whether SEP-41 has an event of this name.
pub fn has(name: Name) -> bool {
    name != Name::ApproveForAll
}

/// Reads an operation's event; None where its types are not those of a token.
pub fn read<'a>(topics: &Topics<'a>, data: &'a [u8]) -> Option<Sep41<'a>> {
    match topics.name {
        Name::Transfer => {
            let [from, to] = topics.parties()?;
            let (amount, muxed) = muxed_amount(data)?;
            moved(Reason::Transfer, Some(from), Some(with(to, muxed)), amount)
        }
        Name::Mint => {
            let to = after_admin(topics)?;
            let (amount, muxed) = muxed_amount(data)?;
            moved(Reason::Mint, None, Some(with(to, muxed)), amount)
        }
        Name::Burn => {
            let [from] = topics.parties()?;
            moved(Reason::Burn, Some(from), None, amount(data)?)
        }
        Name::Clawback => moved(Reason::Clawback, Some(after_admin(topics)?), None, amount(data)?),
        Name::Approve => approved(topics, data),
        Name::SetAuthorized => {
            Some(Sep41::Authorized { account: after_admin(topics)?, authorized: value::boolean(data)? })
        }
        Name::SetAdmin => {
            let [old] = topics.parties()?;
            Some(Sep41::Admin { old, new: value::address(data)? })
        }
        Name::Fee | Name::ApproveForAll => None,
    }
}

/// Reads a transaction's own event: only fees are known.
pub fn read_fee<'a>(topics: &Topics<'a>, data: &'a [u8]) -> Option<Sep41<'a>> {
    if topics.name != Name::Fee || topics.asset.is_some() {
        return None;
    }
    let [payer] = topics.parties()?;
    Some(Sep41::Fee { payer, change: value::i128(data)?.checked_neg()? })
}

fn moved<'a>(reason: Reason, from: Option<Party<'a>>, to: Option<Party<'a>>, amount: i128) -> Option<Sep41<'a>> {
    (amount >= 0).then_some(Sep41::Moved { reason, from, to, amount })
}

/// Before CAP-67 an administrator stands before whom it is about.
fn after_admin<'a>(topics: &Topics<'a>) -> Option<Party<'a>> {
    match topics.values() {
        [_] => topics.parties().map(|[party]| party),
        _ => topics.parties().map(|[_, party]| party),
    }
}

/// The id of a muxed address goes before one in the data.
fn with<'a>(party: Party<'a>, muxed: Muxed<'a>) -> Party<'a> {
    if party.muxed == Muxed::None { Party { muxed, ..party } } else { party }
}

/// An amount, plain or in a map.
fn amount(data: &[u8]) -> Option<i128> {
    if kind_of(data) == kind::I128 {
        return value::i128(data);
    }
    let [amount] = fields(data, [b"amount"])?;
    value::i128(amount?)
}

/// An amount, plain or in a map, where it may stand with the id of a muxed account.
fn muxed_amount(data: &[u8]) -> Option<(i128, Muxed<'_>)> {
    if kind_of(data) == kind::I128 {
        return Some((value::i128(data)?, Muxed::None));
    }
    let [amount, id] = fields(data, [b"amount", b"to_muxed_id"])?;
    let muxed = match id {
        None => Muxed::None,
        // an `Option` of a contract that has no id to tell
        Some(id) if kind_of(id) == kind::VOID => Muxed::None,
        Some(id) if matches!(kind_of(id), kind::U64 | kind::BYTES | kind::STRING) => Muxed::Value(id),
        Some(_) => return None,
    };
    Some((value::i128(amount?)?, muxed))
}

fn approved<'a>(topics: &Topics<'a>, data: &'a [u8]) -> Option<Sep41<'a>> {
    let [owner, spender] = topics.parties()?;
    let (amount, live_until) = match elements(data) {
        Some([amount, live_until]) => (amount, live_until),
        None => {
            // contracts of this standard use both names
            let [amount, live_until, expiration] =
                fields(data, [b"amount", b"live_until_ledger", b"expiration_ledger"])?;
            (amount?, live_until.xor(expiration)?)
        }
    };
    let (amount, live_until) = (value::i128(amount)?, value::u32(live_until)?);
    (amount >= 0).then_some(Sep41::Approved { owner, spender, amount, live_until })
}

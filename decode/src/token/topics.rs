//! The topics of an event that carries a token's name.
use crate::ledger::word_at;
use crate::token::value::{Party, address, kind, kind_of, next, text};

/// No event of a token has more topics.
const MOST: usize = 4;

/// What a token's event may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// `transfer`.
    Transfer,
    /// `mint`.
    Mint,
    /// `burn`.
    Burn,
    /// `clawback`.
    Clawback,
    /// `approve`.
    Approve,
    /// `approve_for_all`.
    ApproveForAll,
    /// `set_authorized`.
    SetAuthorized,
    /// `set_admin`.
    SetAdmin,
    /// `fee`.
    Fee,
}

impl Name {
    fn of(symbol: &[u8]) -> Option<Self> {
        Some(match symbol {
            b"transfer" => Name::Transfer,
            b"fee" => Name::Fee,
            b"mint" => Name::Mint,
            b"burn" => Name::Burn,
            b"clawback" => Name::Clawback,
            b"approve" => Name::Approve,
            b"approve_for_all" => Name::ApproveForAll,
            b"set_authorized" => Name::SetAuthorized,
            b"set_admin" => Name::SetAdmin,
            _ => return None,
        })
    }
}

/// The topics after the name.
#[derive(Debug, Clone, Copy)]
pub struct Topics<'a> {
    /// The first topic.
    pub name: Name,
    values: [&'a [u8]; MOST],
    count: usize,
    /// The asset that stands last in the events of Stellar Asset Contracts.
    pub asset: Option<&'a [u8]>,
}

impl<'a> Topics<'a> {
    /// Reads a vector of topics; None where the first is no symbol that a token uses.
    pub fn read(topics: &'a [u8]) -> Option<Self> {
        let (count, mut rest) = (word_at(topics, 0) as usize, &topics[4..]);
        let symbol = next(&mut rest).filter(|value| kind_of(value) == kind::SYMBOL)?;
        let name = Name::of(text(symbol, kind::SYMBOL)?)?;
        let mut found = Topics { name, values: [&[]; MOST], count: 0, asset: None };
        if count > MOST {
            // one more than any shape has
            found.count = MOST;
            return Some(found);
        }
        while let Some(value) = next(&mut rest) {
            found.values[found.count] = value;
            found.count += 1;
        }
        if let Some(asset) = found.values().last().and_then(|value| text(value, kind::STRING)) {
            found.asset = Some(asset);
            found.count -= 1;
        }
        Some(found)
    }

    /// What stands between the name and the asset.
    pub fn values(&self) -> &[&'a [u8]] {
        &self.values[..self.count]
    }

    /// The same, as addresses; None where one is none, or where there are not `N`.
    pub fn parties<const N: usize>(&self) -> Option<[Party<'a>; N]> {
        let values: &[&'a [u8]; N] = self.values().try_into().ok()?;
        let mut found = [None; N];
        for (found, value) in found.iter_mut().zip(values) {
            *found = Some(address(value)?);
        }
        Some(found.map(|party| party.expect("each is set")))
    }
}

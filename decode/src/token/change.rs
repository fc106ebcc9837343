//! One row of history: one side of what happened.
use crate::copy::Stream;
use crate::prove::Hash;
use crate::token::value::{Address, Party};

/// What of an account changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Category {
    /// How much it holds.
    Balance = 1,
    /// What somebody else may move of it.
    Allowance = 2,
    /// What it may do.
    Authorization = 3,
    /// Whether it owns a collectible.
    Ownership = 4,
}

/// Why it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Reason {
    /// `transfer`.
    Transfer = 1,
    /// `mint`.
    Mint = 2,
    /// `burn`.
    Burn = 3,
    /// `clawback`.
    Clawback = 4,
    /// `fee`, also a refund.
    Fee = 5,
    /// `approve`.
    Approve = 6,
    /// `approve_for_all`.
    ApproveForAll = 7,
    /// `set_authorized` with true.
    Authorize = 8,
    /// `set_authorized` with false.
    Deauthorize = 9,
    /// `set_admin`, the new one.
    SetAdmin = 10,
    /// `set_admin`, the old one.
    RemoveAdmin = 11,
}

/// Where an event stands, and what of its contract is known.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its contract is a Stellar Asset Contract, by proof.
    pub certain: bool,
    /// Its ledger.
    pub ledger: i32,
    /// TOID of its operation.
    pub operation: i64,
    /// Its number in the operation.
    pub index: i32,
    /// Its contract.
    pub contract: &'a Hash,
    /// From which ledger on the contract is what it is here, as far as the chunk knows.
    pub as_of: i32,
}

/// One side of an event.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// 0 or 1.
    pub side: i32,
    /// What changes.
    pub category: Category,
    /// Why.
    pub reason: Reason,
    /// Of whom.
    pub party: &'a Party<'a>,
    /// By how much.
    pub amount: Option<i128>,
    /// Which token.
    pub token: Option<&'a [u8]>,
    /// Who is on the other side.
    pub counterparty: Option<&'a Address>,
    /// Until when it holds.
    pub live_until: Option<u32>,
}

impl<'a> Change<'a> {
    /// The first side of an event, or its only one.
    pub fn new(category: Category, reason: Reason, party: &'a Party<'a>, other: Option<&'a Party>) -> Self {
        let counterparty = other.map(|other| &other.address);
        Change { side: 0, category, reason, party, amount: None, token: None, counterparty, live_until: None }
    }

    /// Writes the row, as the table of history has it but for the token's id, which is still an `SCVal`.
    pub fn write(&self, row: &mut Stream, protocol: &str, place: &Place) {
        row.row(12);
        row.bytea(protocol.as_bytes());
        row.int8(place.operation);
        row.int4(2 * place.index + self.side);
        row.hash(place.contract);
        row.bytea(self.party.address.bytes());
        row.int2(self.category as i16);
        row.int2(self.reason as i16);
        match self.amount {
            Some(amount) => row.signed(amount),
            None => row.null(),
        }
        row.optional_bytea(self.token);
        row.optional_bytea(self.counterparty.map(Address::bytes));
        self.party.muxed.write(row);
        match self.live_until {
            Some(ledger) => row.int8(i64::from(ledger)),
            None => row.null(),
        }
    }
}

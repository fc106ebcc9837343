//! How a contract tells what happened: its events, and what they change, side by side.
use stellar_xdr::{
    ClaimableBalanceId, ContractEvent, ContractEventType, ContractId, Hash, Int128Parts, MuxedEd25519Account, PoolId,
    ScAddress, ScVal, Uint256,
};

use crate::books::Entry;
use crate::pubnet::events::event;
use crate::random::Random;
use crate::world::{HOLDERS, World};
use crate::xdr::symbol;

/// Few enough that most are met again.
const HOLDING: u64 = 40;

/// A contract that speaks in one transaction.
pub struct Voice<'a> {
    pub world: &'a World,
    pub random: &'a mut Random,
    pub contract: ContractId,
    /// What its events name last, where it is an asset's.
    pub asset: Option<ScVal>,
    /// What it is; the events of a contract that is no token change nothing.
    pub protocol: Option<&'static str>,
    pub events: Vec<ContractEvent>,
    pub entries: Vec<Entry>,
}

impl Voice<'_> {
    /// Emit an event as a token does, with the asset where there is one.
    pub fn say(&mut self, name: &str, parties: &[&ScAddress], data: ScVal) {
        let who = parties.iter().map(|party| ScVal::Address((*party).clone()));
        let topics = std::iter::once(symbol(name)).chain(who).chain(self.asset.clone()).collect();
        self.emit(ContractEventType::Contract, topics, data);
    }

    pub fn emit(&mut self, kind: ContractEventType, topics: Vec<ScVal>, data: ScVal) {
        self.events.push(event(kind, Some(&self.contract), topics, data));
    }

    /// Enter what an event of this protocol changes, if this is a token of it.
    pub fn enter(&mut self, protocol: &str, entry: Entry) {
        if self.protocol == Some(protocol) {
            self.entries.push(entry);
        }
    }

    /// Somebody of any kind that holds tokens.
    pub fn anyone(&mut self) -> ScAddress {
        let number = self.random.below(HOLDING);
        let key = self.world.key(HOLDERS.start + number as u32);
        match self.random.below(10) {
            0 => ScAddress::Contract(self.world.contracts[number as usize % self.world.contracts.len()].clone()),
            1 => ScAddress::MuxedAccount(MuxedEd25519Account { id: self.random.next(), ed25519: Uint256(key) }),
            2 => ScAddress::ClaimableBalance(ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(key))),
            3 => ScAddress::LiquidityPool(PoolId(Hash(key))),
            _ => ScAddress::Account(self.world.account(HOLDERS.start + number as u32)),
        }
    }

    /// An amount as tokens have it: small, huge, or none.
    pub fn amount(&mut self) -> i128 {
        match self.random.below(12) {
            0 => 0,
            1 | 2 => i128::MAX,
            3 => i128::MAX - i128::from(self.random.amount()),
            _ => self.random.amount().into(),
        }
    }
}

pub fn i128_wide(value: i128) -> ScVal {
    ScVal::I128(Int128Parts { hi: (value >> 64) as i64, lo: value as u64 })
}

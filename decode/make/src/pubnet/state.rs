//! The entries that one ledger touches: each change starts from where the change before it ended.
use std::collections::HashMap;

use stellar_xdr::{
    AccountEntry, LedgerEntry, LedgerEntryChange, LedgerEntryData, LiquidityPoolEntryBody, OfferEntry, TrustLineEntry,
};

use crate::pubnet::entries;
use crate::world::{Who, World};

/// Names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Account(Who),
    /// A trust line, by account and number of the asset.
    Line(Who, usize),
    /// An offer, by maker and place in its ladder.
    Offer(Who, u32),
    Pool(usize),
    /// A contract's balance of an account.
    Balance(usize, Who),
}

impl Key {
    /// Three numbers that no other key has.
    pub fn numbers(self) -> [u64; 3] {
        match self {
            Self::Account(who) => [0, u64::from(who), 0],
            Self::Line(who, coin) => [1, u64::from(who), coin as u64],
            Self::Offer(who, slot) => [2, u64::from(who), u64::from(slot)],
            Self::Pool(pool) => [3, pool as u64, 0],
            Self::Balance(contract, who) => [4, contract as u64, u64::from(who)],
        }
    }
}

/// Changes, in the order in which they happen.
pub type Changes = Vec<LedgerEntryChange>;

pub struct State<'w> {
    world: &'w World,
    sequence: u32,
    entries: HashMap<Key, LedgerEntry>,
}

impl<'w> State<'w> {
    pub fn new(world: &'w World, sequence: u32) -> Self {
        Self { world, sequence, entries: HashMap::with_capacity(1024) }
    }

    pub fn get(&mut self, key: Key) -> &LedgerEntry {
        self.entry(key)
    }

    fn entry(&mut self, key: Key) -> &mut LedgerEntry {
        let (world, sequence) = (self.world, self.sequence);
        self.entries.entry(key).or_insert_with(|| entries::entry(world, key, sequence))
    }

    /// Change an entry; the pair of changes that the meta keeps of it goes to `out`.
    pub fn change(&mut self, key: Key, out: &mut Changes, edit: impl FnOnce(&mut LedgerEntryData)) {
        let sequence = self.sequence;
        let entry = self.entry(key);
        out.push(LedgerEntryChange::State(entry.clone()));
        edit(&mut entry.data);
        entry.last_modified_ledger_seq = sequence;
        out.push(LedgerEntryChange::Updated(entry.clone()));
    }

    pub fn account(&mut self, who: Who, out: &mut Changes, edit: impl FnOnce(&mut AccountEntry)) {
        self.change(Key::Account(who), out, |data| {
            if let LedgerEntryData::Account(account) = data {
                edit(account);
            }
        });
    }

    pub fn line(&mut self, who: Who, coin: usize, out: &mut Changes, edit: impl FnOnce(&mut TrustLineEntry)) {
        self.change(Key::Line(who, coin), out, |data| {
            if let LedgerEntryData::Trustline(line) = data {
                edit(line);
            }
        });
    }

    pub fn offer(&mut self, who: Who, slot: u32, out: &mut Changes, edit: impl FnOnce(&mut OfferEntry)) -> OfferEntry {
        self.change(Key::Offer(who, slot), out, |data| {
            if let LedgerEntryData::Offer(offer) = data {
                edit(offer);
            }
        });
        self.offer_now(who, slot)
    }

    pub fn offer_now(&mut self, who: Who, slot: u32) -> OfferEntry {
        match &self.entry(Key::Offer(who, slot)).data {
            LedgerEntryData::Offer(offer) => offer.clone(),
            other => unreachable!("an offer's key leads to {}", other.name()),
        }
    }

    /// Add to what an account holds of an asset: an account's own balance, a trust line's, nothing for the issuer.
    pub fn credit(&mut self, who: Who, coin: usize, amount: i64, out: &mut Changes) {
        let issuer = self.world.coins[coin].issuer;
        if issuer == Some(who) {
            return;
        }
        if issuer.is_none() {
            self.account(who, out, |account| account.balance = account.balance.saturating_add(amount).max(0));
        } else {
            self.line(who, coin, out, |line| line.balance = line.balance.saturating_add(amount).max(0));
        }
    }

    /// Put `paid` of asset a into a pool and take `taken` of asset b out of it.
    pub fn swap(&mut self, pool: usize, paid: i64, taken: i64, out: &mut Changes) {
        self.change(Key::Pool(pool), out, |data| {
            if let LedgerEntryData::LiquidityPool(entry) = data {
                let LiquidityPoolEntryBody::LiquidityPoolConstantProduct(product) = &mut entry.body;
                product.reserve_a = product.reserve_a.saturating_add(paid);
                product.reserve_b = product.reserve_b.saturating_sub(taken).max(1);
            }
        });
    }
}

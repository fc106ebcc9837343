//! The rows of tokens: history and state of fungible tokens (SEP-41) and collectibles (SEP-50), from events.
//!
//! What a contract is, a chunk cannot know, but for Stellar Asset Contracts, which their events prove. All other rows
//! are for whoever knows the contract: they say from which ledger on it is the one that emitted the event.
pub mod asset;
mod change;
mod fold;
mod sep41;
mod sep50;
#[cfg(test)]
mod shapes;
mod table;
mod topics;
pub mod value;

use crate::copy::Stream;
use crate::ledger::{Event, Ledger, hash_at, numbered};
use crate::prove::Hash;
use crate::rows::is_successful;
use asset::Assets;
use change::{Category, Place};
use fold::{Allowances, Balances, Emitted, Owners};
use sep41::Sep41;
use sep50::Sep50;
use topics::Topics;

/// The tables, in the order of their sections.
pub const TABLES: [&str; 8] = [
    "sep41_certain_changes",
    "sep41_state_changes",
    "sep41_balances",
    "sep41_allowances",
    "sep50_state_changes",
    "sep50_tokens",
    "sep41_events",
    "sep50_events",
];
/// Ids of the protocols.
pub const PROTOCOLS: [&str; 2] = [SEP41, SEP50];
const SEP41: &str = "SEP41";
const SEP50: &str = "SEP50";
/// `ContractEventType` of what contracts emit.
const CONTRACT: u8 = 1;

/// What has a stream is wanted; streams and folds keep their memory from chunk to chunk, proofs their answers.
#[derive(Debug)]
pub struct Tokens {
    streams: [Option<Stream>; TABLES.len()],
    assets: Assets,
    balances: Balances,
    allowances: Allowances,
    owners: Owners,
    emitted: [Emitted; PROTOCOLS.len()],
    first: i32,
    left_alone: [u64; PROTOCOLS.len()],
}

impl Tokens {
    /// The rows of the tables that are `wanted`, in the order of [`TABLES`].
    pub fn new(wanted: [bool; TABLES.len()]) -> Self {
        Tokens {
            streams: wanted.map(|wanted| wanted.then(Stream::default)),
            assets: Assets::default(),
            balances: Balances::default(),
            allowances: Allowances::default(),
            owners: Owners::default(),
            emitted: Default::default(),
            first: 0,
            left_alone: [0; PROTOCOLS.len()],
        }
    }

    /// Forgets the chunk before; `first` is the first ledger that this one has rows of.
    pub fn start(&mut self, network: &Hash, first: u32) {
        self.streams.iter_mut().flatten().for_each(Stream::start);
        self.balances.clear();
        self.allowances.clear();
        self.owners.clear();
        self.emitted.iter_mut().for_each(Emitted::clear);
        self.assets.on(network);
        self.first = first as i32;
        self.left_alone = [0; PROTOCOLS.len()];
    }

    /// Events since the start, by protocol, that have the name of a token's and not its types.
    pub fn left_alone(&self) -> [u64; PROTOCOLS.len()] {
        self.left_alone
    }

    /// What the chunk's events come to, table by table; once a chunk.
    pub fn streams(&mut self) -> [Option<&mut Stream>; TABLES.len()] {
        let [_, _, balances, allowances, _, owners, emitted @ ..] = &mut self.streams;
        balances.iter_mut().for_each(|row| self.balances.write(row));
        allowances.iter_mut().for_each(|row| self.allowances.write(row));
        owners.iter_mut().for_each(|row| self.owners.write(row));
        for (emitted, row) in self.emitted.iter().zip(emitted) {
            row.iter_mut().for_each(|row| emitted.write(row));
        }
        self.streams.each_mut().map(Option::as_mut)
    }

    /// Adds what the events of a proven ledger say, in the order in which they happened.
    /// `since` tells from which ledger on a contract is what it is in this one, where the chunk knows.
    pub fn add(&mut self, raw: &[u8], sequence: i32, ledger: &Ledger, since: impl Fn(&Hash) -> Option<i32>) {
        for (index, applied) in ledger.applied.iter().enumerate() {
            let transaction = i64::from(sequence) << 32 | (index as i64 + 1) << 12;
            self.events(raw, transaction, &ledger.events[applied.transaction_events.range()], &since);
            if is_successful(raw, applied) {
                self.events(raw, transaction, &ledger.events[applied.operation_events.range()], &since);
            }
        }
    }

    fn events(&mut self, raw: &[u8], transaction: i64, events: &[Event], since: impl Fn(&Hash) -> Option<i32>) {
        for (index, event) in numbered(events) {
            let (Some(contract), CONTRACT) = (event.contract, event.kind) else { continue };
            let Some(topics) = Topics::read(event.topics.of(raw)) else { continue };
            let place = Place {
                certain: false,
                ledger: (transaction >> 32) as i32,
                operation: transaction | i64::from(event.operation),
                index,
                contract: hash_at(raw, contract),
                as_of: self.first,
            };
            self.event(place, event.stage.is_some(), &topics, event.data.of(raw), &since);
        }
    }

    fn event(
        &mut self,
        mut place: Place,
        is_transactions: bool,
        topics: &Topics,
        data: &[u8],
        since: impl Fn(&Hash) -> Option<i32>,
    ) {
        let fungible = self.fungible(&mut place, is_transactions, topics, data);
        let collectible = if is_transactions { None } else { sep50::read(topics, data) };
        if fungible.is_none() && collectible.is_none() {
            return self.leave_alone(topics);
        }
        if !place.certain {
            place.as_of = since(place.contract).map_or(self.first, |since| since.max(self.first));
            let [_, _, _, _, _, _, wanted @ ..] = &self.streams;
            let looks_like = [fungible.is_some(), collectible.is_some()];
            for ((emitted, wanted), looks_like) in self.emitted.iter_mut().zip(wanted).zip(looks_like) {
                if wanted.is_some() && looks_like {
                    emitted.add(&place);
                }
            }
        }
        fungible.iter().for_each(|event| self.take41(&place, event));
        collectible.iter().for_each(|event| self.take50(&place, event));
    }

    /// Reads an event of a fungible token; a Stellar Asset Contract's names its asset, which proves the contract.
    fn fungible<'a>(
        &mut self,
        place: &mut Place,
        is_transactions: bool,
        topics: &Topics<'a>,
        data: &'a [u8],
    ) -> Option<Sep41<'a>> {
        if is_transactions {
            place.certain = place.contract == self.assets.native();
            return sep41::read_fee(topics, data).filter(|_| place.certain);
        }
        let read = sep41::read(topics, data)?;
        let Some(asset) = topics.asset else { return Some(read) };
        place.certain = self.assets.proves(place.contract, asset);
        place.certain.then_some(read)
    }

    fn leave_alone(&mut self, topics: &Topics) {
        let wanted = self.streams.each_ref().map(Option::is_some);
        let [certain, changes, balances, allowances, other_changes, owners, ..] = wanted;
        let wanted = [certain || changes || balances || allowances, other_changes || owners];
        let names = [sep41::has(topics.name), sep50::has(topics.name)];
        for ((count, wanted), has) in self.left_alone.iter_mut().zip(wanted).zip(names) {
            *count += u64::from(wanted && has);
        }
    }

    fn take41(&mut self, place: &Place, event: &Sep41) {
        let [certain, uncertain, balances, allowances, ..] = &mut self.streams;
        let changes = if place.certain { certain } else { uncertain };
        if changes.is_some() || balances.is_some() {
            event.changes(|change| {
                changes.iter_mut().for_each(|row| change.write(row, SEP41, place));
                if let (Some(_), Category::Balance, Some(delta)) = (&balances, change.category, change.amount) {
                    self.balances.add(place, &change.party.address, delta);
                }
            });
        }
        if let (Some(_), Sep41::Approved { owner, spender, amount, live_until }) = (allowances, event) {
            self.allowances.set(place, &owner.address, &spender.address, *amount, *live_until);
        }
    }

    fn take50(&mut self, place: &Place, event: &Sep50) {
        let [_, _, _, _, changes, owners, ..] = &mut self.streams;
        if let Some(row) = changes {
            event.changes(|change| change.write(row, SEP50, place));
        }
        if let (Some(_), Sep50::Moved { to, token, .. }) = (owners, event) {
            self.owners.set(place, token, to.as_ref().map(|to| &to.address));
        }
    }
}

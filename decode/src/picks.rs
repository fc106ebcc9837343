//! Events that plug-ins want, picked before Python sees any, as columns in the layout of Arrow.
use crate::column::{Binary, Bits, push_offset};
use crate::ledger::{Event, Ledger, hash_at, numbered, word_at};
use crate::prove::Hash;
use crate::rows::is_successful;
use crate::token::asset::Assets;
use crate::token::value::{kind, next, text};

/// `ContractEventType` of what contracts emit.
const CONTRACT: u8 = 1;
/// Bytes of topics and data after which a plug-in is given what there is: far below what a column can count.
const MOST_BYTES: usize = 64 << 20;

/// What one plug-in wants.
#[derive(Debug, Clone)]
pub struct Want {
    /// Symbols that its events begin with.
    pub topics: Vec<String>,
    /// Whether Stellar Asset Contracts are its own; else events that prove to be of one are not for it.
    pub assets: bool,
}

/// The events of one call of a plug-in, in the order in which they happened.
#[derive(Debug, Default)]
pub struct Events {
    /// Rows.
    pub length: usize,
    /// `int32`.
    pub ledger: Vec<u8>,
    /// `int64`: TOID of the operation.
    pub operation: Vec<u8>,
    /// `int32`: its number in the operation.
    pub index: Vec<u8>,
    /// 32 bytes.
    pub contract: Vec<u8>,
    /// `int32`: where the topics of each event begin and end.
    pub lists: Vec<u8>,
    /// Topics of all events, `SCVal`s.
    pub topics: Binary,
    /// `SCVal`s.
    pub data: Binary,
    /// The contract is a Stellar Asset Contract, by proof.
    pub certain: Bits,
    values: usize,
}

/// Picks for all plug-ins in one pass over the events.
#[derive(Debug, Default)]
pub struct Picks {
    wants: Vec<Want>,
    /// Each topic that is wanted, and by whom.
    names: Vec<(Box<[u8]>, Vec<usize>)>,
    picked: Vec<Vec<Events>>,
    assets: Assets,
}

impl Picks {
    /// For these plug-ins.
    pub fn new(wants: Vec<Want>) -> Self {
        let mut names: Vec<(Box<[u8]>, Vec<usize>)> = Vec::new();
        for (plug_in, topic) in wants.iter().enumerate().flat_map(|(at, want)| want.topics.iter().map(move |t| (at, t)))
        {
            match names.iter_mut().find(|(name, _)| **name == *topic.as_bytes()) {
                Some((_, by)) => by.push(plug_in),
                None => names.push((topic.as_bytes().into(), vec![plug_in])),
            }
        }
        Picks { wants, names, ..Picks::default() }
    }

    /// Whether nobody wants anything.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Forgets the chunk before.
    pub fn start(&mut self, network: &Hash) {
        self.assets.on(network);
        self.picked = self.wants.iter().map(|_| Vec::new()).collect();
    }

    /// Gives away what was picked since the start: by plug-in, and by call.
    pub fn take(&mut self) -> Vec<Vec<Events>> {
        std::mem::take(&mut self.picked)
    }

    /// Picks from a proven ledger, in the order in which things happened: of what a failed transaction did, nothing.
    pub fn add(&mut self, raw: &[u8], sequence: i32, ledger: &Ledger) {
        for (index, applied) in ledger.applied.iter().enumerate().filter(|(_, applied)| is_successful(raw, applied)) {
            let transaction = i64::from(sequence) << 32 | (index as i64 + 1) << 12;
            for (number, event) in numbered(&ledger.events[applied.operation_events.range()]) {
                self.event(raw, transaction, number, event);
            }
        }
    }

    fn event(&mut self, raw: &[u8], transaction: i64, number: i32, event: &Event) {
        let (Some(contract), CONTRACT) = (event.contract, event.kind) else { return };
        let topics = event.topics.of(raw);
        let Some(name) = first(topics) else { return };
        let Some((_, by)) = self.names.iter().find(|(wanted, _)| **wanted == *name) else { return };
        let contract = hash_at(raw, contract);
        let certain = last(topics).is_some_and(|asset| self.assets.proves(contract, asset));
        for plug_in in by.iter().filter(|plug_in| self.wants[**plug_in].assets || !certain) {
            let calls = &mut self.picked[*plug_in];
            if calls.last().is_none_or(Events::is_full) {
                calls.push(Events::new());
            }
            let events = calls.last_mut().expect("it has just been made");
            events.push(transaction | i64::from(event.operation), number, contract, certain);
            events.values(topics, event.data.of(raw));
        }
    }
}

impl Events {
    fn new() -> Self {
        Events { lists: 0_i32.to_ne_bytes().to_vec(), ..Events::default() }
    }

    fn is_full(&self) -> bool {
        self.topics.content.len() + self.data.content.len() > MOST_BYTES
    }

    fn push(&mut self, operation: i64, number: i32, contract: &Hash, certain: bool) {
        self.length += 1;
        self.ledger.extend_from_slice(&((operation >> 32) as i32).to_ne_bytes());
        self.operation.extend_from_slice(&operation.to_ne_bytes());
        self.index.extend_from_slice(&number.to_ne_bytes());
        self.contract.extend_from_slice(contract);
        self.certain.push(certain);
    }

    fn values(&mut self, topics: &[u8], data: &[u8]) {
        let mut rest = &topics[4..];
        while let Some(topic) = next(&mut rest) {
            self.topics.push(topic);
            self.values += 1;
        }
        push_offset(&mut self.lists, self.values);
        self.data.push(data);
    }
}

/// The symbol that comes first of a vector of topics.
#[inline]
fn first(topics: &[u8]) -> Option<&[u8]> {
    if word_at(topics, 0) == 0 { None } else { text(&topics[4..], kind::SYMBOL) }
}

/// The string that comes last.
fn last(topics: &[u8]) -> Option<&[u8]> {
    let mut rest = &topics[4..];
    let mut found = None;
    while let Some(topic) = next(&mut rest) {
        found = Some(topic);
    }
    text(found?, kind::STRING)
}

//! The rows of proven ledgers, for the tables that are wanted; those of the base tables in key order.
use crate::contract::Entry;
use crate::contract_rows::{Codes, Instances};
use crate::copy::Stream;
use crate::fault::{Checked, Fault};
use crate::ledger::{Account, Applied, Envelope, Event, Ledger, Slice, hash_at, long_at, numbered, word_at};
use crate::picks::{Events, Picks};
use crate::prove::{Hash, Head};
use crate::token::{self, PROTOCOLS, Tokens};
use std::io::{self, Write};

/// The base tables.
pub const BASE: [&str; 4] = ["ledgers", "transactions", "operations", "events"];
/// All tables, in the order of their sections.
pub const TABLES: [&str; 14] = [
    BASE[0],
    BASE[1],
    BASE[2],
    BASE[3],
    "contract_specs",
    "contract_instances",
    token::TABLES[0],
    token::TABLES[1],
    token::TABLES[2],
    token::TABLES[3],
    token::TABLES[4],
    token::TABLES[5],
    token::TABLES[6],
    token::TABLES[7],
];

/// Version byte of an account's strkey (SEP-23).
const ACCOUNT: u8 = 6 << 3;
/// A TOID (SEP-35) has 20 bits for the transaction and 12 for the operation.
const MAX_TRANSACTIONS: usize = (1 << 20) - 1;
const MAX_OPERATION: u32 = (1 << 12) - 1;
/// From 1970 to 2000, where a `timestamptz` counts from.
const EPOCH_SECONDS: i64 = 946_684_800;
/// The first microsecond after the last that a `timestamptz` holds.
const END_MICROSECONDS: i64 = 9_223_371_331_200_000_000;

/// One table's part of what was written: table, rows, offset and length in bytes.
pub type Section = (&'static str, u64, u64, u64);

/// What is there is wanted, and nothing else is made; streams keep their memory from chunk to chunk.
#[derive(Debug)]
pub struct Rows {
    tables: Vec<&'static str>,
    ledgers: Option<Stream>,
    transactions: Option<Stream>,
    operations: Option<Stream>,
    events: Option<Stream>,
    contract_specs: Option<Codes>,
    /// Also where only tokens are wanted, which ask it since when a contract is what it is.
    contract_instances: Option<Instances>,
    tokens: Option<Tokens>,
    picks: Picks,
}

impl Default for Rows {
    /// The base tables.
    fn default() -> Self {
        Self::of(BASE).expect("they are tables")
    }
}

impl Rows {
    /// The rows of these tables; refuses a name that is none of [`TABLES`].
    pub fn of<'a>(tables: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut wanted = [false; TABLES.len()];
        for name in tables {
            let known = TABLES.iter().position(|table| *table == name);
            wanted[known.ok_or_else(|| format!("no table {name:?}: there are {}", TABLES.join(", ")))?] = true;
        }
        let [ledgers, transactions, operations, events, contract_specs, contract_instances, tokens @ ..] = wanted;
        let has_tokens = tokens.contains(&true);
        Ok(Rows {
            tables: TABLES.into_iter().zip(wanted).filter_map(|(table, wanted)| wanted.then_some(table)).collect(),
            ledgers: ledgers.then(Stream::default),
            transactions: transactions.then(Stream::default),
            operations: operations.then(Stream::default),
            events: events.then(Stream::default),
            contract_specs: contract_specs.then(Codes::default),
            contract_instances: (contract_instances || has_tokens).then(Instances::default),
            tokens: has_tokens.then(|| Tokens::new(tokens)),
            picks: Picks::default(),
        })
    }

    /// The same, with events picked for plug-ins.
    pub fn picking(mut self, picks: Picks) -> Self {
        self.picks = picks;
        self
    }

    /// Whether nothing is wanted of a ledger.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.picks.is_empty()
    }

    /// Gives away the events that were picked since the start, by plug-in and call.
    pub fn take_picks(&mut self) -> Vec<Vec<Events>> {
        self.picks.take()
    }

    /// The streams that are wanted, with their tables, in the order of their sections.
    fn streams(&mut self) -> impl Iterator<Item = (&'static str, &mut Stream)> {
        let base_and_contracts = [
            self.ledgers.as_mut(),
            self.transactions.as_mut(),
            self.operations.as_mut(),
            self.events.as_mut(),
            self.contract_specs.as_mut().map(Codes::stream),
            self.contract_instances.as_mut().map(Instances::stream),
        ];
        let streams = base_and_contracts.into_iter().chain(self.tokens.iter_mut().flat_map(Tokens::streams));
        let known = TABLES.into_iter().zip(streams).filter_map(|(table, stream)| Some((table, stream?)));
        known.filter(|(table, _)| self.tables.contains(table))
    }

    /// The tables that are wanted.
    pub fn tables(&self) -> &[&'static str] {
        &self.tables
    }

    fn has_base(&self) -> bool {
        [&self.ledgers, &self.transactions, &self.operations, &self.events].into_iter().any(Option::is_some)
    }

    /// Events, by protocol, that have the name of a token's and not its types.
    pub fn left_alone(&self) -> [u64; PROTOCOLS.len()] {
        self.tokens.as_ref().map_or([0; PROTOCOLS.len()], Tokens::left_alone)
    }

    fn has_contracts(&self) -> bool {
        self.contract_specs.is_some() || self.contract_instances.is_some()
    }

    /// Empties the streams for a chunk whose rows begin with ledger `first`.
    pub fn start(&mut self, network: &Hash, first: u32) {
        let base = [&mut self.ledgers, &mut self.transactions, &mut self.operations, &mut self.events];
        base.into_iter().flatten().for_each(Stream::start);
        self.contract_specs.iter_mut().for_each(Codes::start);
        self.contract_instances.iter_mut().for_each(Instances::start);
        self.tokens.iter_mut().for_each(|tokens| tokens.start(network, first));
        self.picks.start(network);
    }

    /// Ends the streams and writes them one after another.
    pub fn write(&mut self, out: &mut dyn Write) -> io::Result<Vec<Section>> {
        let (mut sections, mut offset) = (Vec::new(), 0);
        for (table, stream) in self.streams() {
            stream.end();
            out.write_all(stream.bytes())?;
            let length = stream.bytes().len() as u64;
            sections.push((table, stream.rows(), offset, length));
            offset += length;
        }
        Ok(sections)
    }

    /// Adds the rows of a ledger; one that the columns cannot hold is a fault and adds none.
    pub fn add(&mut self, raw: &[u8], ledger: &Ledger, head: &Head, envelopes: &[u32]) -> Checked {
        let closed_at = closed_at(head)?;
        let protocol = i32::try_from(head.protocol).map_err(|_| too_big(head, "protocol", head.protocol))?;
        let sequence = i32::try_from(head.sequence).map_err(|_| too_big(head, "ledgerSeq", head.sequence))?;
        check_toids(ledger)?;
        let successful = if self.has_base() { self.transactions(raw, sequence, ledger, envelopes) } else { 0 };
        if let Some(row) = &mut self.ledgers {
            row.row(9);
            row.int4(sequence);
            row.hash(head.hash);
            row.hash(head.previous);
            row.int8(closed_at);
            row.int4(protocol);
            row.int4(ledger.applied.len() as i32);
            row.int4(successful);
            row.int4(ledger.operations.len() as i32);
            row.int4(ledger.events.len() as i32);
        }
        if self.has_contracts() {
            self.contracts(raw, sequence, ledger);
        }
        if let (Some(tokens), Some(instances)) = (&mut self.tokens, &self.contract_instances) {
            tokens.add(raw, sequence, ledger, |contract| instances.since(contract));
        }
        if !self.picks.is_empty() {
            self.picks.add(raw, sequence, ledger);
        }
        Ok(())
    }

    /// Adds transactions with their operations and events; returns how many were successful.
    fn transactions(&mut self, raw: &[u8], sequence: i32, ledger: &Ledger, envelopes: &[u32]) -> i32 {
        let mut successful = 0;
        for (index, (applied, envelope)) in ledger.applied.iter().zip(envelopes).enumerate() {
            let toid = i64::from(sequence) << 32 | (index as i64 + 1) << 12;
            let envelope = &ledger.envelopes[*envelope as usize];
            successful += i32::from(is_successful(raw, applied));
            if let Some(row) = &mut self.transactions {
                transaction_row(row, raw, toid, applied, envelope);
            }
            if let Some(row) = &mut self.operations {
                operation_rows(row, raw, toid, ledger, envelope);
            }
            if let Some(row) = &mut self.events {
                event_rows(row, raw, toid, ledger, applied.transaction_events);
                event_rows(row, raw, toid, ledger, applied.operation_events);
            }
        }
        successful
    }

    fn contracts(&mut self, raw: &[u8], sequence: i32, ledger: &Ledger) {
        for noted in &ledger.contract_entries {
            match Entry::read(noted.span.of(raw)) {
                Some(Entry::Code(code)) => {
                    self.contract_specs.iter_mut().for_each(|codes| codes.add(sequence, &code));
                }
                Some(Entry::Instance(instance)) => {
                    let wanted = self.contract_instances.iter_mut();
                    wanted.for_each(|instances| instances.add(sequence, noted.is_state, &instance));
                }
                None => {}
            }
        }
    }
}

/// The code of the transaction's result.
fn result_code(raw: &[u8], applied: &Applied) -> i32 {
    word_at(raw, applied.result.start + 40) as i32
}

/// A fee bump succeeds with its inner transaction.
pub fn is_successful(raw: &[u8], applied: &Applied) -> bool {
    matches!(result_code(raw, applied), 0 | 1)
}

fn transaction_row(row: &mut Stream, raw: &[u8], toid: i64, applied: &Applied, envelope: &Envelope) {
    let start = applied.result.start;
    row.row(9);
    row.int8(toid);
    row.hash(hash_at(raw, start));
    row.boolean(is_successful(raw, applied));
    row.int4(envelope.operations.len() as i32);
    row.int8(long_at(raw, start + 32) as i64);
    account(row, raw, envelope.source);
    match envelope.payer {
        Some(payer) => row.address(ACCOUNT, hash_at(raw, payer.key)),
        None => row.null(),
    }
    row.int2(result_code(raw, applied) as i16);
}

fn operation_rows(row: &mut Stream, raw: &[u8], toid: i64, ledger: &Ledger, envelope: &Envelope) {
    for (index, operation) in ledger.operations[envelope.operations.range()].iter().enumerate() {
        row.row(5);
        row.int8(toid | (index as i64 + 1));
        row.int2(word_at(raw, operation.body.start) as i16);
        account(row, raw, operation.source.unwrap_or(envelope.source));
        row.bytea(operation.body.of(raw));
    }
}

fn event_rows(row: &mut Stream, raw: &[u8], toid: i64, ledger: &Ledger, slice: Slice) {
    for (index, event) in numbered(&ledger.events[slice.range()]) {
        event_row(row, raw, toid, index, event);
    }
}

fn event_row(row: &mut Stream, raw: &[u8], toid: i64, index: i32, event: &Event) {
    row.row(7);
    row.int8(toid | i64::from(event.operation));
    row.int4(index);
    match event.stage {
        Some(stage) => row.int2(i16::from(stage)),
        None => row.null(),
    }
    row.int2(i16::from(event.kind));
    match event.contract {
        Some(at) => row.hash(hash_at(raw, at)),
        None => row.null(),
    }
    row.bytea(event.topics.of(raw));
    row.bytea(event.data.of(raw));
}

/// Two columns: the plain account, and the id of a muxed one.
fn account(row: &mut Stream, raw: &[u8], account: Account) {
    row.address(ACCOUNT, hash_at(raw, account.key));
    if account.muxed {
        row.numeric(long_at(raw, account.key - 8));
    } else {
        row.null();
    }
}

/// Microseconds since 2000.
fn closed_at(head: &Head) -> Checked<i64> {
    let seconds = i64::try_from(head.close_time).ok();
    seconds
        .and_then(|seconds| (seconds - EPOCH_SECONDS).checked_mul(1_000_000))
        .filter(|microseconds| *microseconds < END_MICROSECONDS)
        .ok_or_else(|| {
            Fault::new(head.close_time_at, "a close time before the year 294277", head.close_time.to_string())
        })
}

#[cold]
fn too_big(head: &Head, what: &str, found: u32) -> Box<Fault> {
    let at = if what == "protocol" { head.previous_at - 4 } else { head.sequence_at };
    Fault::new(at, format!("a {what} up to {}", i32::MAX), found.to_string())
}

fn check_toids(ledger: &Ledger) -> Checked {
    if let Some(applied) = ledger.applied.get(MAX_TRANSACTIONS) {
        let found = ledger.applied.len().to_string();
        return Err(Fault::new(
            applied.result.start as usize,
            format!("at most {MAX_TRANSACTIONS} transactions"),
            found,
        ));
    }
    match ledger.events.iter().find(|event| event.operation > MAX_OPERATION) {
        Some(event) => {
            let (at, found) = (event.topics.start as usize, format!("an event of operation {}", event.operation));
            Err(Fault::new(at, format!("at most {MAX_OPERATION} operations a transaction"), found))
        }
        None => Ok(()),
    }
}

//! The rows of one proven ledger, for the four base tables, in key order.
use crate::copy::Stream;
use crate::fault::{Checked, Fault};
use crate::ledger::{Account, Applied, Envelope, Event, Ledger, Slice, hash_at, long_at, word_at};
use crate::prove::Head;
use std::io::{self, Write};

/// The tables, in the order of their sections.
pub const TABLES: [&str; 4] = ["ledgers", "transactions", "operations", "events"];

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

/// COPY streams of the four tables; they keep their memory from chunk to chunk.
#[derive(Debug, Default)]
pub struct Rows {
    ledgers: Stream,
    transactions: Stream,
    operations: Stream,
    events: Stream,
}

impl Rows {
    fn streams(&mut self) -> [&mut Stream; 4] {
        [&mut self.ledgers, &mut self.transactions, &mut self.operations, &mut self.events]
    }

    /// Empties the streams.
    pub fn start(&mut self) {
        self.streams().into_iter().for_each(Stream::start);
    }

    /// Ends the streams and writes them one after another.
    pub fn write(&mut self, out: &mut dyn Write) -> io::Result<[Section; 4]> {
        let mut sections = TABLES.map(|table| (table, 0, 0, 0));
        let mut offset = 0;
        for (stream, section) in self.streams().into_iter().zip(&mut sections) {
            stream.end();
            out.write_all(stream.bytes())?;
            let length = stream.bytes().len() as u64;
            *section = (section.0, stream.rows(), offset, length);
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
        let mut successful = 0;
        for (index, (applied, envelope)) in ledger.applied.iter().zip(envelopes).enumerate() {
            let toid = i64::from(sequence) << 32 | (index as i64 + 1) << 12;
            let envelope = &ledger.envelopes[*envelope as usize];
            successful += i32::from(self.transaction(raw, toid, applied, envelope));
            self.operations(raw, toid, ledger, envelope);
            self.events(raw, toid, ledger, applied.transaction_events);
            self.events(raw, toid, ledger, applied.operation_events);
        }
        let row = &mut self.ledgers;
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
        Ok(())
    }

    fn transaction(&mut self, raw: &[u8], toid: i64, applied: &Applied, envelope: &Envelope) -> bool {
        let start = applied.result.start;
        let code = word_at(raw, start + 40) as i32;
        let successful = code == 0 || code == 1;
        let row = &mut self.transactions;
        row.row(9);
        row.int8(toid);
        row.hash(hash_at(raw, start));
        row.boolean(successful);
        row.int4(envelope.operations.len() as i32);
        row.int8(long_at(raw, start + 32) as i64);
        account(row, raw, envelope.source);
        match envelope.payer {
            Some(payer) => row.address(ACCOUNT, hash_at(raw, payer.key)),
            None => row.null(),
        }
        row.int2(code as i16);
        successful
    }

    fn operations(&mut self, raw: &[u8], toid: i64, ledger: &Ledger, envelope: &Envelope) {
        let row = &mut self.operations;
        for (index, operation) in ledger.operations[envelope.operations.range()].iter().enumerate() {
            row.row(5);
            row.int8(toid | (index as i64 + 1));
            row.int2(word_at(raw, operation.body.start) as i16);
            account(row, raw, operation.source.unwrap_or(envelope.source));
            row.bytea(operation.body.of(raw));
        }
    }

    fn events(&mut self, raw: &[u8], toid: i64, ledger: &Ledger, slice: Slice) {
        let (mut operation, mut index) = (0, 0);
        for event in &ledger.events[slice.range()] {
            if event.operation != operation {
                (operation, index) = (event.operation, 0);
            }
            event_row(&mut self.events, raw, toid, index, event);
            index += 1;
        }
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

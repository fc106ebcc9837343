//! The walk over `TransactionMeta` V0 to V4: notes events and entries of contracts, skips the rest.
use crate::changes::changes;
use crate::cursor::Cursor;
use crate::fault::Checked;
use crate::ledger::{Applied, Event, Ledger, Slice, Span};
use crate::skip::{self, least};
use crate::walk::skip_all;

/// Walks one `TransactionMeta` and notes its events, and the entries of contracts in its changes.
pub fn transaction_meta(c: &mut Cursor, applied: &mut Applied, ledger: &mut Ledger) -> Checked {
    let at = c.at();
    match c.int()? {
        0 => operations(c, ledger),
        1 => {
            changes(c, ledger)?;
            operations(c, ledger)
        }
        2 => before_operations_after(c, ledger),
        3 => meta_v3(c, applied, ledger),
        4 => meta_v4(c, applied, ledger),
        found => c.refuse_value(at, "TransactionMeta version 0 to 4", found),
    }
}

fn operations(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    for _ in 0..c.count(u32::MAX, least::OPERATION_META)? {
        changes(c, ledger)?;
    }
    Ok(())
}

fn before_operations_after(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    changes(c, ledger)?;
    operations(c, ledger)?;
    changes(c, ledger)
}

fn meta_v3(c: &mut Cursor, applied: &mut Applied, ledger: &mut Ledger) -> Checked {
    skip::extension_point(c)?;
    before_operations_after(c, ledger)?;
    if !c.optional()? {
        return Ok(());
    }
    skip::soroban_transaction_meta_ext(c)?;
    let from = ledger.events.len() as u32;
    let start = c.mark();
    contract_events(c, 1, &mut ledger.events)?;
    applied.hashed_events = Some(Span { start, end: c.mark() });
    applied.operation_events = Slice { from, to: ledger.events.len() as u32 };
    let start = c.mark();
    skip::sc_val(c)?;
    applied.return_value = Some(Span { start, end: c.mark() });
    skip_all(c, least::DIAGNOSTIC_EVENT, skip::diagnostic_event)
}

fn meta_v4(c: &mut Cursor, applied: &mut Applied, ledger: &mut Ledger) -> Checked {
    skip::extension_point(c)?;
    changes(c, ledger)?;
    let from = ledger.events.len() as u32;
    for operation in 1..=c.count(u32::MAX, least::OPERATION_META_V2)? {
        skip::extension_point(c)?;
        changes(c, ledger)?;
        let start = c.mark();
        contract_events(c, operation, &mut ledger.events)?;
        if operation == 1 {
            applied.hashed_events = Some(Span { start, end: c.mark() });
        }
    }
    applied.operation_events = Slice { from, to: ledger.events.len() as u32 };
    changes(c, ledger)?;
    if c.optional()? {
        skip::soroban_transaction_meta_ext(c)?;
        applied.return_value = return_value(c)?;
    }
    applied.transaction_events = transaction_events(c, &mut ledger.events)?;
    skip_all(c, least::DIAGNOSTIC_EVENT, skip::diagnostic_event)
}

fn return_value(c: &mut Cursor) -> Checked<Option<Span>> {
    if !c.optional()? {
        return Ok(None);
    }
    let start = c.mark();
    skip::sc_val(c)?;
    Ok(Some(Span { start, end: c.mark() }))
}

fn transaction_events(c: &mut Cursor, events: &mut Vec<Event>) -> Checked<Slice> {
    let from = events.len() as u32;
    for _ in 0..c.count(u32::MAX, least::TRANSACTION_EVENT)? {
        let at = c.at();
        let stage = c.int()?;
        if !(0..=2).contains(&stage) {
            return c.refuse_value(at, "TransactionEventStage 0 to 2", stage);
        }
        let event = contract_event(c, 0)?;
        events.push(Event { stage: Some(stage as u8), ..event });
    }
    Ok(Slice { from, to: events.len() as u32 })
}

fn contract_events(c: &mut Cursor, operation: u32, events: &mut Vec<Event>) -> Checked {
    for _ in 0..c.count(u32::MAX, least::CONTRACT_EVENT)? {
        let event = contract_event(c, operation)?;
        events.push(event);
    }
    Ok(())
}

fn contract_event(c: &mut Cursor, operation: u32) -> Checked<Event> {
    skip::extension_point(c)?;
    let mut contract = None;
    if c.optional()? {
        contract = Some(c.mark());
        c.skip(32)?;
    }
    let at = c.at();
    let kind = c.int()?;
    if !(0..=2).contains(&kind) {
        return c.refuse_value(at, "ContractEventType 0 to 2", kind);
    }
    let at = c.at();
    let version = c.int()?;
    if version != 0 {
        return c.refuse_value(at, "ContractEvent body version 0", version);
    }
    let start = c.mark();
    skip_all(c, least::SC_VAL, skip::sc_val)?;
    let topics = Span { start, end: c.mark() };
    skip::sc_val(c)?;
    let data = Span { start: topics.end, end: c.mark() };
    Ok(Event { operation, stage: None, kind: kind as u8, contract, topics, data })
}

//! The walk over `TransactionMeta` V0 to V4: notes events, skips the rest.
use crate::cursor::Cursor;
use crate::fault::Checked;
use crate::ledger::{Applied, Event, Slice, Span};
use crate::skip::{self, least};
use crate::walk::skip_all;

/// Walks one `TransactionMeta` and notes its events.
pub fn transaction_meta(c: &mut Cursor, applied: &mut Applied, events: &mut Vec<Event>) -> Checked {
    let at = c.at();
    match c.int()? {
        0 => operations(c),
        1 => {
            skip::ledger_entry_changes(c)?;
            operations(c)
        }
        2 => before_operations_after(c),
        3 => meta_v3(c, applied, events),
        4 => meta_v4(c, applied, events),
        found => c.refuse_value(at, "TransactionMeta version 0 to 4", found),
    }
}

fn operations(c: &mut Cursor) -> Checked {
    skip_all(c, least::OPERATION_META, skip::operation_meta)
}

fn before_operations_after(c: &mut Cursor) -> Checked {
    skip::ledger_entry_changes(c)?;
    operations(c)?;
    skip::ledger_entry_changes(c)
}

fn meta_v3(c: &mut Cursor, applied: &mut Applied, events: &mut Vec<Event>) -> Checked {
    skip::extension_point(c)?;
    before_operations_after(c)?;
    if !c.optional()? {
        return Ok(());
    }
    skip::soroban_transaction_meta_ext(c)?;
    let from = events.len() as u32;
    let start = c.mark();
    contract_events(c, 1, events)?;
    applied.hashed_events = Some(Span { start, end: c.mark() });
    applied.operation_events = Slice { from, to: events.len() as u32 };
    let start = c.mark();
    skip::sc_val(c)?;
    applied.return_value = Some(Span { start, end: c.mark() });
    skip_all(c, least::DIAGNOSTIC_EVENT, skip::diagnostic_event)
}

fn meta_v4(c: &mut Cursor, applied: &mut Applied, events: &mut Vec<Event>) -> Checked {
    skip::extension_point(c)?;
    skip::ledger_entry_changes(c)?;
    let from = events.len() as u32;
    for operation in 1..=c.count(u32::MAX, least::OPERATION_META_V2)? {
        skip::extension_point(c)?;
        skip::ledger_entry_changes(c)?;
        let start = c.mark();
        contract_events(c, operation, events)?;
        if operation == 1 {
            applied.hashed_events = Some(Span { start, end: c.mark() });
        }
    }
    applied.operation_events = Slice { from, to: events.len() as u32 };
    skip::ledger_entry_changes(c)?;
    if c.optional()? {
        skip::soroban_transaction_meta_ext(c)?;
        applied.return_value = return_value(c)?;
    }
    applied.transaction_events = transaction_events(c, events)?;
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

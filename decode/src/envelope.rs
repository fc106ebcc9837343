//! The walk over transaction envelopes: V0, V1 and fee bumps, plain and muxed accounts.
use crate::cursor::Cursor;
use crate::fault::Checked;
use crate::ledger::{Account, Envelope, EnvelopeKind, Ledger, Operation, Slice, Span};
use crate::skip::{self, least};

/// `EnvelopeType` members that an envelope has.
const TX_V0: i32 = 0;
const TX: i32 = 2;
const TX_FEE_BUMP: i32 = 5;

const MAX_OPERATIONS: u32 = 100;
const MAX_SIGNATURES: u32 = 20;

/// Walks an array of `TransactionEnvelope` and adds them to the ledger's.
pub fn envelopes(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    for _ in 0..c.count(u32::MAX, least::TRANSACTION_ENVELOPE)? {
        let envelope = envelope(c, &mut ledger.operations)?;
        ledger.envelopes.push(envelope);
    }
    Ok(())
}

fn envelope(c: &mut Cursor, operations: &mut Vec<Operation>) -> Checked<Envelope> {
    let at = c.at();
    let envelope = match c.int()? {
        TX_V0 => transaction_v0(c, operations)?,
        TX => transaction(c, operations)?,
        TX_FEE_BUMP => fee_bump(c, operations)?,
        found => return c.refuse_value(at, "TransactionEnvelope with EnvelopeType 0, 2, 5", found),
    };
    signatures(c)?;
    Ok(envelope)
}

fn transaction_v0(c: &mut Cursor, operations: &mut Vec<Operation>) -> Checked<Envelope> {
    let start = c.mark();
    c.skip(32 + 4 + 8)?;
    if c.optional()? {
        c.skip(16)?;
    }
    skip::memo(c)?;
    let slice = walk_operations(c, operations)?;
    skip::transaction_v0_ext(c)?;
    let tx = Span { start, end: c.mark() };
    let source = Account { key: start, muxed: false };
    Ok(Envelope { kind: EnvelopeKind::V0, tx, source, payer: None, operations: slice })
}

fn transaction(c: &mut Cursor, operations: &mut Vec<Operation>) -> Checked<Envelope> {
    let start = c.mark();
    let source = account(c)?;
    c.skip(4 + 8)?;
    skip::preconditions(c)?;
    skip::memo(c)?;
    let slice = walk_operations(c, operations)?;
    skip::transaction_ext(c)?;
    let tx = Span { start, end: c.mark() };
    Ok(Envelope { kind: EnvelopeKind::V1, tx, source, payer: None, operations: slice })
}

fn fee_bump(c: &mut Cursor, operations: &mut Vec<Operation>) -> Checked<Envelope> {
    let start = c.mark();
    let payer = account(c)?;
    c.skip(8)?;
    let at = c.at();
    let kind = c.int()?;
    if kind != TX {
        return c.refuse_value(at, "FeeBumpTransactionInnerTx with EnvelopeType 2", kind);
    }
    let inner = transaction(c, operations)?;
    signatures(c)?;
    skip::fee_bump_transaction_ext(c)?;
    let tx = Span { start, end: c.mark() };
    Ok(Envelope { kind: EnvelopeKind::FeeBump, tx, payer: Some(payer), ..inner })
}

fn signatures(c: &mut Cursor) -> Checked {
    for _ in 0..c.count(MAX_SIGNATURES, least::DECORATED_SIGNATURE)? {
        skip::decorated_signature(c)?;
    }
    Ok(())
}

fn account(c: &mut Cursor) -> Checked<Account> {
    let start = c.mark();
    skip::muxed_account(c)?;
    let key = c.mark() - 32;
    // a muxed one has its id between the type and the key
    Ok(Account { key, muxed: key - start > 4 })
}

fn walk_operations(c: &mut Cursor, operations: &mut Vec<Operation>) -> Checked<Slice> {
    let from = operations.len() as u32;
    for _ in 0..c.count(MAX_OPERATIONS, least::OPERATION)? {
        let source = if c.optional()? { Some(account(c)?) } else { None };
        let start = c.mark();
        skip::operation_body(c)?;
        operations.push(Operation { source, body: Span { start, end: c.mark() } });
    }
    Ok(Slice { from, to: operations.len() as u32 })
}

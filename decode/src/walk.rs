//! The walk over one `LedgerCloseMeta`: checks every byte and notes where the parts are.
use crate::changes::changes;
use crate::cursor::Cursor;
use crate::envelope::envelopes;
use crate::fault::Checked;
use crate::ledger::{Applied, Header, Ledger, SetKind, Span, TransactionSet};
use crate::meta::transaction_meta;
use crate::skip::{self, least};

/// Bytes of a `LedgerHeader` before its `StellarValue`: version and previous hash.
const BEFORE_VALUE: usize = 4 + 32;
/// Bytes of a `LedgerHeader` from `txSetResultHash` to `ext`.
const AFTER_VALUE: usize = 32 + 32 + 4 + 8 + 8 + 4 + 8 + 4 + 4 + 4 + 4 * 32;

/// Walks the `LedgerCloseMeta` at the start of `raw` and returns its length in bytes.
pub fn walk(raw: &[u8], ledger: &mut Ledger) -> Checked<usize> {
    ledger.clear();
    let c = &mut Cursor::new(raw);
    match version(c)? {
        0 => walk_v0(c, ledger)?,
        1 => {
            walk_v1(c, ledger, false)?;
            skip_all(c, least::LEDGER_ENTRY, skip::ledger_entry)?;
        }
        _ => walk_v1(c, ledger, true)?,
    }
    Ok(c.at())
}

/// Walks only as far as the header; for a stream's index.
pub fn walk_header(raw: &[u8]) -> Checked<Header> {
    let c = &mut Cursor::new(raw);
    if version(c)? > 0 {
        skip::ledger_close_meta_ext(c)?;
    }
    header(c)
}

fn version(c: &mut Cursor) -> Checked<i32> {
    let at = c.at();
    let version = c.int()?;
    if !(0..=2).contains(&version) {
        return c.refuse_value(at, "LedgerCloseMeta version 0 to 2", version);
    }
    Ok(version)
}

fn walk_v0(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    ledger.header = header(c)?;
    let start = c.mark();
    c.skip(32)?;
    envelopes(c, ledger)?;
    ledger.set = TransactionSet { kind: SetKind::Legacy, span: Span { start, end: c.mark() }, previous: start };
    processing(c, ledger, false)?;
    upgrades_and_scp(c, ledger)
}

fn walk_v1(c: &mut Cursor, ledger: &mut Ledger, is_v2: bool) -> Checked {
    skip::ledger_close_meta_ext(c)?;
    ledger.header = header(c)?;
    generalized_set(c, ledger)?;
    processing(c, ledger, is_v2)?;
    upgrades_and_scp(c, ledger)?;
    c.skip(8)?;
    skip_all(c, least::LEDGER_KEY, skip::ledger_key)
}

/// Walks one `LedgerHeaderHistoryEntry`.
pub fn header(c: &mut Cursor) -> Checked<Header> {
    let hash = c.mark();
    c.skip(32)?;
    let start = c.mark();
    c.skip(BEFORE_VALUE)?;
    skip::stellar_value(c)?;
    let result_hash = c.mark();
    c.skip(AFTER_VALUE)?;
    skip::ledger_header_ext(c)?;
    let span = Span { start, end: c.mark() };
    skip::ledger_header_history_entry_ext(c)?;
    Ok(Header { hash, span, result_hash })
}

fn generalized_set(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    let start = c.mark();
    let version = c.int()?;
    if version != 1 {
        return c.refuse_value(start as usize, "GeneralizedTransactionSet version 1", version);
    }
    let previous = c.mark();
    c.skip(32)?;
    for _ in 0..c.count(u32::MAX, least::TRANSACTION_PHASE)? {
        phase(c, ledger)?;
    }
    ledger.set = TransactionSet { kind: SetKind::Generalized, span: Span { start, end: c.mark() }, previous };
    Ok(())
}

fn phase(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    let at = c.at();
    match c.int()? {
        0 => {
            for _ in 0..c.count(u32::MAX, least::TX_SET_COMPONENT)? {
                component(c, ledger)?;
            }
            Ok(())
        }
        1 => parallel(c, ledger),
        version => c.refuse_value(at, "TransactionPhase version 0 to 1", version),
    }
}

fn component(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    let at = c.at();
    let kind = c.int()?;
    if kind != 0 {
        return c.refuse_value(at, "TxSetComponent with TxSetComponentType 0", kind);
    }
    base_fee(c)?;
    envelopes(c, ledger)
}

fn parallel(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    base_fee(c)?;
    for _ in 0..c.count(u32::MAX, least::PARALLEL_TX_EXECUTION_STAGE)? {
        for _ in 0..c.count(u32::MAX, least::DEPENDENT_TX_CLUSTER)? {
            envelopes(c, ledger)?;
        }
    }
    Ok(())
}

fn base_fee(c: &mut Cursor) -> Checked {
    if c.optional()? { c.skip(8) } else { Ok(()) }
}

/// `txProcessing`, in apply order: `TransactionResultMeta`, or its V1 with an extension and changes after all.
fn processing(c: &mut Cursor, ledger: &mut Ledger, is_v2: bool) -> Checked {
    let least = if is_v2 { least::TRANSACTION_RESULT_META_V1 } else { least::TRANSACTION_RESULT_META };
    for _ in 0..c.count(u32::MAX, least)? {
        if is_v2 {
            skip::extension_point(c)?;
        }
        let start = c.mark();
        skip::transaction_result_pair(c)?;
        let mut applied = Applied { result: Span { start, end: c.mark() }, ..Applied::default() };
        changes(c, ledger)?;
        transaction_meta(c, &mut applied, ledger)?;
        if is_v2 {
            changes(c, ledger)?;
        }
        ledger.applied.push(applied);
    }
    Ok(())
}

fn upgrades_and_scp(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    for _ in 0..c.count(u32::MAX, least::UPGRADE_ENTRY_META)? {
        skip::ledger_upgrade(c)?;
        changes(c, ledger)?;
    }
    skip_all(c, least::SCP_HISTORY_ENTRY, skip::scp_history_entry)
}

/// Moves past an array of any length.
pub fn skip_all(c: &mut Cursor, least: usize, one: fn(&mut Cursor) -> Checked) -> Checked {
    for _ in 0..c.count(u32::MAX, least)? {
        one(c)?;
    }
    Ok(())
}

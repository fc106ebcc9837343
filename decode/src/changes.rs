//! The walk over `LedgerEntryChanges`: notes codes and instances of contracts, skips the rest.
use crate::contract;
use crate::cursor::Cursor;
use crate::fault::Checked;
use crate::ledger::{ContractEntry, Ledger, Span};
use crate::skip::{self, least};

const REMOVED: i32 = 2;
const STATE: i32 = 3;

/// Walks one `LedgerEntryChanges` and notes the entries of contracts.
#[inline]
pub fn changes(c: &mut Cursor, ledger: &mut Ledger) -> Checked {
    for _ in 0..c.count(u32::MAX, least::LEDGER_ENTRY_CHANGE)? {
        let at = c.at();
        match c.int()? {
            REMOVED => skip::ledger_key(c)?,
            change @ (0 | 1 | STATE | 4) => {
                let start = c.mark();
                skip::ledger_entry(c)?;
                if contract::is_code_or_instance(c.since(start)) {
                    let span = Span { start, end: c.mark() };
                    ledger.contract_entries.push(ContractEntry { is_state: change == STATE, span });
                }
            }
            found => return c.refuse_value(at, "LedgerEntryChange with LedgerEntryChangeType 0 to 4", found),
        }
    }
    Ok(())
}

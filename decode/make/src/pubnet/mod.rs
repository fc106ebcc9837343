//! A network of its own that looks like the public one of mid-2026: protocol 26, `LedgerCloseMeta` V2, unified events.
pub mod apply;
pub mod diagnostics;
mod entries;
mod envelope;
pub mod events;
pub mod ledger;
pub mod mix;
pub mod operations;
pub mod party;
pub mod state;

use crate::draft::Draft;
use crate::run::Drafts;
use crate::world::World;

/// Every such ledger is about 1 MB.
pub struct Pubnet(pub World);

/// Mostly empty ledgers; in every eighth a few transactions.
pub struct Sparse(pub World);

impl Drafts for Pubnet {
    fn draft(&self, sequence: u32) -> Draft<'_> {
        ledger::draft(&self.0, sequence, mix::intents(u64::from(sequence), 100))
    }
}

impl Drafts for Sparse {
    fn draft(&self, sequence: u32) -> Draft<'_> {
        let busy = sequence % 8 == 5;
        let intents = if busy { mix::intents(u64::from(sequence / 8), 1) } else { Vec::new() };
        ledger::draft(&self.0, sequence, intents)
    }
}

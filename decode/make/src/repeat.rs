//! Real ledgers, again and again: only what names a ledger's place is rewritten, so that every proof holds.
use std::borrow::Cow;

use stellar_xdr::TimePoint;

use crate::draft::Draft;
use crate::error::MakeError;
use crate::run::Drafts;
use crate::source;

/// Seconds between two ledgers that are not neighbours in the source.
const USUAL_GAP_S: u64 = 5;
/// Ledgers are read on a stack that holds the deepest value the network allows.
const STACK: usize = 512 << 20;

/// Plain bytes of all ledgers to repeat.
const MAX_BYTES: usize = 2 << 30;

/// The source's ledgers as drafts, and when each closes in every round.
pub struct Repeat {
    first: u32,
    start: u64,
    /// Each with the seconds after the start of its round at which it closes.
    ledgers: Vec<(Draft<'static>, u64)>,
    round_s: u64,
}

impl Repeat {
    /// Read, and prove, the ledgers of `objects` (name, zstd bytes); the repeated ones start at `first`.
    pub fn new(first: u32, objects: &[(&str, &[u8])], passphrase: &str) -> Result<Self, MakeError> {
        let drafts = std::thread::scope(|scope| {
            let read = || source::read_all(objects, passphrase, MAX_BYTES);
            let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, read);
            let reader = reader.expect("a thread to read the source");
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        let start = drafts.first().map_or(0, |draft| draft.header.scp_value.close_time.0);
        let mut at = 0;
        let mut ledgers: Vec<(Draft<'static>, u64)> = Vec::with_capacity(drafts.len());
        for draft in drafts {
            at += ledgers.last().map_or(0, |(before, _)| gap_s(before, &draft));
            ledgers.push((draft, at));
        }
        Ok(Self { first, start, ledgers, round_s: at + USUAL_GAP_S })
    }
}

/// Seconds between two ledgers: as in the source where they are neighbours there, and never none.
fn gap_s(before: &Draft, after: &Draft) -> u64 {
    let close = |draft: &Draft| draft.header.scp_value.close_time.0;
    match close(after).checked_sub(close(before)) {
        Some(gap) if gap > 0 && after.header.ledger_seq == before.header.ledger_seq + 1 => gap,
        _ => USUAL_GAP_S,
    }
}

impl Drafts for Repeat {
    fn draft(&self, sequence: u32) -> Draft<'_> {
        let index = (sequence - self.first) as usize;
        let (draft, at) = &self.ledgers[index % self.ledgers.len()];
        let mut header = draft.header.clone();
        let rounds = (index / self.ledgers.len()) as u64;
        header.ledger_seq = sequence;
        header.scp_value.close_time = TimePoint(self.start + rounds * self.round_s + at);
        Draft {
            lead: Cow::Borrowed(&draft.lead),
            header,
            transactions: Cow::Borrowed(&draft.transactions),
            tail: Cow::Borrowed(&draft.tail),
            entries: Vec::new(),
            ..*draft
        }
    }
}

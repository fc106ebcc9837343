//! A ledger that lacks only its place in the chain, and the chain that gives it one.
//!
//! All that costs time is in the draft and knows no other ledger; what a link changes (the transaction set's first
//! field and the header) is a few hundred bytes, so that ledgers are made side by side and only linked in order.
use std::borrow::Cow;

use stellar_xdr::{Hash, LedgerHeader, LedgerHeaderHistoryEntry, LedgerHeaderHistoryEntryExt};

use crate::books::{Books, Entry};
use crate::counts::{Counts, Ends};
use crate::xdr::{put, sha256, xdr};

/// How a transaction set is written and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// `TransactionSet`: its hash leaves out the count.
    Legacy,
    /// `GeneralizedTransactionSet` V1: its hash is that of its XDR.
    Generalized,
}

/// The XDR of a `LedgerCloseMeta` in pieces, around the parts that a link changes.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// From the union's arm up to the header.
    pub lead: Cow<'a, [u8]>,
    /// Whole but for the previous hash, the transaction set's hash and, if `fees` is set, the fee pool.
    pub header: LedgerHeader,
    pub set: SetKind,
    /// The transaction set after its `previousLedgerHash`.
    pub transactions: Cow<'a, [u8]>,
    /// Everything after the transaction set.
    pub tail: Cow<'a, [u8]>,
    /// Fees charged, which go to the fee pool; `None` keeps the header's own fee pool.
    pub fees: Option<i64>,
    pub counts: Counts,
    /// What the ledger changes, for the books.
    pub entries: Vec<Entry>,
}

/// The end of the chain so far.
pub struct Chain {
    hash: [u8; 32],
    fee_pool: i64,
    pub counts: Counts,
    pub ends: Ends,
    pub books: Books,
}

/// A draft with its place in the chain.
pub struct Linked<'a> {
    draft: Draft<'a>,
    header: Vec<u8>,
    previous: [u8; 32],
}

impl Chain {
    pub fn new(previous: [u8; 32]) -> Self {
        let ends = Ends { previous, ..Ends::default() };
        Self { hash: previous, fee_pool: 80_000_000_000_000, counts: Counts::default(), ends, books: Books::default() }
    }

    /// Put `draft` at the end of the chain.
    pub fn link<'a>(&mut self, mut draft: Draft<'a>) -> Linked<'a> {
        let previous = self.hash;
        draft.header.previous_ledger_hash = Hash(previous);
        draft.header.scp_value.tx_set_hash = Hash(draft.set.hash(&previous, &draft.transactions));
        if let Some(fees) = draft.fees {
            self.fee_pool += fees;
            draft.header.fee_pool = self.fee_pool;
        }
        let hash = Hash(sha256(&[&xdr(&draft.header)]));
        self.advance(hash.0, draft.counts);
        self.books.enter(draft.header.ledger_seq, std::mem::take(&mut draft.entries));
        let ext = LedgerHeaderHistoryEntryExt::V0;
        let header = xdr(&LedgerHeaderHistoryEntry { hash, header: draft.header.clone(), ext });
        Linked { draft, header, previous }
    }

    fn advance(&mut self, hash: [u8; 32], counts: Counts) {
        if self.counts.ledgers == 0 {
            self.ends.first = hash;
        }
        self.ends.last = hash;
        self.hash = hash;
        self.counts += counts;
    }
}

impl SetKind {
    /// The hash that the header keeps as `scpValue.txSetHash`.
    pub fn hash(self, previous: &[u8; 32], transactions: &[u8]) -> [u8; 32] {
        match self {
            Self::Legacy => sha256(&[previous, &transactions[4..]]),
            Self::Generalized => sha256(&[&1u32.to_be_bytes(), previous, transactions]),
        }
    }
}

impl Linked<'_> {
    /// Append the XDR of the `LedgerCloseMeta`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.draft.lead);
        out.extend_from_slice(&self.header);
        if self.draft.set == SetKind::Generalized {
            put(out, &1u32);
        }
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.draft.transactions);
        out.extend_from_slice(&self.draft.tail);
    }
}

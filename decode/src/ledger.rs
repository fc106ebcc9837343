//! Where the parts of one ledger are: offsets into its raw bytes, no values.
//!
//! Its lists are kept from ledger to ledger, so a walk allocates nothing once they have grown.
use std::ops::Range;

/// Bytes `start..end` of a ledger; containers refuse plain objects of 4 GiB and more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// The bytes themselves.
    #[inline]
    pub fn of(self, raw: &[u8]) -> &[u8] {
        &raw[self.start as usize..self.end as usize]
    }
}

/// Elements `from..to` of one of the lists of a [`Ledger`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slice {
    /// First element.
    pub from: u32,
    /// Element after the last.
    pub to: u32,
}

impl Slice {
    /// As indices.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    /// How many.
    #[inline]
    pub fn len(self) -> usize {
        (self.to - self.from) as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.from == self.to
    }
}

/// The `LedgerHeaderHistoryEntry`: offsets of what is read from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Header {
    /// The hash that the entry gives.
    pub hash: u32,
    /// The `LedgerHeader`, whose bytes hash to it.
    pub span: Span,
    /// `txSetResultHash`; `bucketListHash` and `ledgerSeq` follow it.
    pub result_hash: u32,
}

/// How the hash of a transaction set is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetKind {
    /// `sha256(previousLedgerHash, tx1, …, txN)`.
    #[default]
    Legacy,
    /// `sha256` of the whole `GeneralizedTransactionSet`.
    Generalized,
}

/// The transaction set.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransactionSet {
    /// How its hash is made.
    pub kind: SetKind,
    /// All of it.
    pub span: Span,
    /// `previousLedgerHash`.
    pub previous: u32,
}

/// A `MuxedAccount`: where its key is, and whether the eight bytes before it are its id.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    /// The 32 bytes of the ed25519 key.
    pub key: u32,
    /// The account is muxed.
    pub muxed: bool,
}

/// How the hash of an envelope is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeKind {
    /// Hashes as the V1 that it stands for.
    V0,
    /// A plain transaction.
    V1,
    /// A fee bump.
    FeeBump,
}

/// One envelope of the transaction set.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    /// How its hash is made.
    pub kind: EnvelopeKind,
    /// The part that is hashed: the transaction without its signatures.
    pub tx: Span,
    /// Source of the transaction; of a fee bump, of the inner one.
    pub source: Account,
    /// Who pays a fee bump.
    pub payer: Option<Account>,
    /// Its elements in [`Ledger::operations`].
    pub operations: Slice,
}

/// One operation of an envelope.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its own source account, if it has one.
    pub source: Option<Account>,
    /// The `OperationBody` with its discriminant.
    pub body: Span,
}

/// One element of `txProcessing`: a transaction in apply order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Applied {
    /// The `TransactionResultPair`.
    pub result: Span,
    /// Return value of a Soroban invocation.
    pub return_value: Option<Span>,
    /// The `ContractEvent` vector that a Soroban invocation's hash covers, count included.
    pub hashed_events: Option<Span>,
    /// The transaction's own events in [`Ledger::events`].
    pub transaction_events: Slice,
    /// Its operations' events in [`Ledger::events`].
    pub operation_events: Slice,
}

/// One contract event.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Operation that emitted it, from 1; 0 for the transaction itself.
    pub operation: u32,
    /// Stage of a transaction's own event.
    pub stage: Option<u8>,
    /// `ContractEventType`.
    pub kind: u8,
    /// The contract's 32 bytes.
    pub contract: Option<u32>,
    /// The vector of topics, count included.
    pub topics: Span,
    /// One `SCVal`.
    pub data: Span,
}

/// A ledger entry of a contract, its code or its instance, in a `LedgerEntryChange`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContractEntry {
    /// What was before the change; else what is after it.
    pub is_state: bool,
    /// The `LedgerEntry`.
    pub span: Span,
}

/// Everything that a walk over one `LedgerCloseMeta` keeps.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The header.
    pub header: Header,
    /// The transaction set.
    pub set: TransactionSet,
    /// Envelopes in the order of the transaction set.
    pub envelopes: Vec<Envelope>,
    /// Operations of all envelopes.
    pub operations: Vec<Operation>,
    /// Transactions in apply order.
    pub applied: Vec<Applied>,
    /// Events of all transactions.
    pub events: Vec<Event>,
    /// Codes and instances of contracts, from all changes of the ledger in the order of its meta.
    pub contract_entries: Vec<ContractEntry>,
}

impl Ledger {
    /// Empties the lists and keeps their memory.
    pub fn clear(&mut self) {
        self.envelopes.clear();
        self.operations.clear();
        self.applied.clear();
        self.events.clear();
        self.contract_entries.clear();
    }
}

/// Events of one transaction with their number in their operation, as `events` has it.
pub fn numbered(events: &[Event]) -> impl Iterator<Item = (i32, &Event)> {
    let (mut operation, mut next) = (0, 0);
    events.iter().map(move |event| {
        if event.operation != operation {
            (operation, next) = (event.operation, 0);
        }
        next += 1;
        (next - 1, event)
    })
}

/// The 32 bytes at `at`; the walk has checked that they are there.
#[inline]
pub fn hash_at(raw: &[u8], at: u32) -> &[u8; 32] {
    raw[at as usize..].first_chunk().expect("the walk went past it")
}

/// The four bytes at `at` as an integer.
#[inline]
pub fn word_at(raw: &[u8], at: u32) -> u32 {
    u32::from_be_bytes(*raw[at as usize..].first_chunk().expect("the walk went past it"))
}

/// The eight bytes at `at` as an integer.
#[inline]
pub fn long_at(raw: &[u8], at: u32) -> u64 {
    u64::from_be_bytes(*raw[at as usize..].first_chunk().expect("the walk went past it"))
}

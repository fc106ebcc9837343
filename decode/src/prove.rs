//! What a ledger proves about itself, on its raw bytes: never on a re-encoding.
use crate::contract::{Code, Entry};
use crate::fault::{Checked, Fault, hex};
use crate::ledger::{Applied, EnvelopeKind, Ledger, SetKind, hash_at, long_at, word_at};
use crate::matching::Matching;
use sha2::{Digest, Sha256};

/// Bytes of a sha256.
pub type Hash = [u8; 32];

/// From this protocol on the hash of an invocation's events must hold; below, lakes carry rewritten events (CAP-67).
const EVENT_HASH_HOLDS_FROM: u32 = 23;

const CODE_SUCCESS: u32 = 0;
const CODE_FEE_BUMP_INNER_SUCCESS: u32 = 1;
const OPERATION_INNER: u32 = 0;
const INVOKE_HOST_FUNCTION: u32 = 24;
const INVOKE_SUCCESS: u32 = 0;

/// Offsets in a `TransactionResultPair`: the code, and of the code's arms the count of operation results.
const CODE: u32 = 32 + 8;
const RESULTS: u32 = CODE + 4;
const INNER_RESULTS: u32 = RESULTS + 32 + 8 + 4;

/// The fields of a `LedgerHeader` that proofs and rows read.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `ledgerVersion`: the protocol.
    pub protocol: u32,
    /// `previousLedgerHash`.
    pub previous: &'a Hash,
    /// Offset of `previousLedgerHash`.
    pub previous_at: usize,
    /// `scpValue.txSetHash`.
    pub set_hash: &'a Hash,
    /// `scpValue.closeTime`, seconds since 1970.
    pub close_time: u64,
    /// Offset of `scpValue.closeTime`.
    pub close_time_at: usize,
    /// `txSetResultHash`.
    pub result_hash: &'a Hash,
    /// `ledgerSeq`.
    pub sequence: u32,
    /// Offset of `ledgerSeq`.
    pub sequence_at: usize,
    /// The hash that the history entry gives.
    pub hash: &'a Hash,
}

impl<'a> Head<'a> {
    /// Reads the fields of a header that a walk went past.
    pub fn read(raw: &'a [u8], header: &crate::ledger::Header) -> Self {
        let start = header.span.start;
        Head {
            protocol: word_at(raw, start),
            previous: hash_at(raw, start + 4),
            previous_at: start as usize + 4,
            set_hash: hash_at(raw, start + 36),
            close_time: long_at(raw, start + 68),
            close_time_at: start as usize + 68,
            result_hash: hash_at(raw, header.result_hash),
            sequence: word_at(raw, header.result_hash + 64),
            sequence_at: header.result_hash as usize + 64,
            hash: hash_at(raw, header.hash),
        }
    }
}

/// `sha256` of the id of a network: its passphrase.
pub fn network_id(passphrase: &str) -> Hash {
    Sha256::digest(passphrase.as_bytes()).into()
}

/// What was found is what was wanted.
pub(crate) fn same(at: u32, what: &str, wanted: &Hash, found: &Hash) -> Checked {
    if wanted == found {
        return Ok(());
    }
    Err(Fault::new(at as usize, format!("{what} {}", hex(wanted)), hex(found)))
}

/// The header hashes to the hash that its history entry gives.
pub fn header(raw: &[u8], ledger: &crate::ledger::Header) -> Checked {
    let found = Sha256::digest(ledger.span.of(raw)).into();
    same(ledger.hash, "a header that hashes to", hash_at(raw, ledger.hash), &found)
}

/// The transaction set hashes to what the header says, and builds on the same ledger as the header.
pub fn transaction_set(raw: &[u8], ledger: &Ledger, head: &Head) -> Checked {
    let set = &ledger.set;
    same(set.previous, "a transaction set on ledger", head.previous, hash_at(raw, set.previous))?;
    let bytes = set.span.of(raw);
    let found: Hash = match set.kind {
        // the count between the previous hash and the transactions is not hashed
        SetKind::Legacy => Sha256::new().chain_update(&bytes[..32]).chain_update(&bytes[36..]).finalize().into(),
        SetKind::Generalized => Sha256::digest(bytes).into(),
    };
    same(set.span.start, "a transaction set that hashes to", head.set_hash, &found)
}

/// The results, put together as a `TransactionResultSet`, hash to what the header says.
pub fn results(raw: &[u8], ledger: &Ledger, head: &Head) -> Checked {
    let mut sha = Sha256::new();
    sha.update((ledger.applied.len() as u32).to_be_bytes());
    for applied in &ledger.applied {
        sha.update(applied.result.of(raw));
    }
    let at = ledger.applied.first().map_or(ledger.header.result_hash, |applied| applied.result.start);
    same(at, "transaction results that hash to", head.result_hash, &sha.finalize().into())
}

/// Every envelope hashes, under the network, to the hash of exactly one result; `matching` keeps which.
pub fn envelopes(raw: &[u8], ledger: &Ledger, network: &Hash, matching: &mut Matching) -> Checked {
    matching.start(ledger.envelopes.len());
    for envelope in &ledger.envelopes {
        let sha = Sha256::new().chain_update(network);
        let sha = match envelope.kind {
            EnvelopeKind::V0 => sha.chain_update([0, 0, 0, 2, 0, 0, 0, 0]),
            EnvelopeKind::V1 => sha.chain_update([0, 0, 0, 2]),
            EnvelopeKind::FeeBump => sha.chain_update([0, 0, 0, 5]),
        };
        let hash = sha.chain_update(envelope.tx.of(raw)).finalize().into();
        matching.add(hash, envelope.tx.start)?;
    }
    matching.settle(raw, ledger)
}

/// The events of each successful invocation hash to its result; returns how many do not, where that is no error.
pub fn soroban_events(raw: &[u8], ledger: &Ledger, protocol: u32) -> Checked<u64> {
    let mut mismatches = 0;
    for applied in &ledger.applied {
        let Some(at) = invocation_hash(raw, applied) else {
            continue;
        };
        let checked = same(at, "events of an invocation that hash to", hash_at(raw, at), &pre_image(raw, applied));
        match checked {
            Err(fault) if protocol >= EVENT_HASH_HOLDS_FROM => return Err(fault),
            Err(_) => mismatches += 1,
            Ok(()) => {}
        }
    }
    Ok(mismatches)
}

/// Every code of a contract that the changes hold hashes to its key.
pub fn codes(raw: &[u8], ledger: &Ledger) -> Checked {
    for noted in &ledger.contract_entries {
        if let Some(Entry::Code(code)) = Entry::read(noted.span.of(raw)) {
            code_hash(&code, noted.span.start)?;
        }
    }
    Ok(())
}

/// A code hashes to its key; its entry lies at `start`.
pub fn code_hash(code: &Code, start: u32) -> Checked {
    let found = Sha256::digest(code.code).into();
    same(start + code.hash_at, "the hash of a code,", &found, code.hash)
}

/// Where a successful invocation's result keeps its hash; a Soroban transaction has one operation.
fn invocation_hash(raw: &[u8], applied: &Applied) -> Option<u32> {
    let start = applied.result.start;
    let results = match word_at(raw, start + CODE) {
        CODE_SUCCESS => start + RESULTS,
        CODE_FEE_BUMP_INNER_SUCCESS => start + INNER_RESULTS,
        _ => return None,
    };
    if word_at(raw, results) == 0 || word_at(raw, results + 4) != OPERATION_INNER {
        return None;
    }
    let is_invocation = word_at(raw, results + 8) == INVOKE_HOST_FUNCTION;
    (is_invocation && word_at(raw, results + 12) == INVOKE_SUCCESS).then_some(results + 16)
}

/// `sha256` of the `InvokeHostFunctionSuccessPreImage`; where the meta lacks a part, that part hashes as nothing.
fn pre_image(raw: &[u8], applied: &Applied) -> Hash {
    let mut sha = Sha256::new();
    for part in [applied.return_value, applied.hashed_events].into_iter().flatten() {
        sha.update(part.of(raw));
    }
    sha.finalize().into()
}

/// The header names the ledger before as its previous one.
pub fn links(head: &Head, previous: Option<&Hash>) -> Checked {
    match previous {
        Some(hash) => same(head.previous_at as u32, "previousLedgerHash", hash, head.previous),
        None => Ok(()),
    }
}

/// The ledger's hash is the one that the operator trusts.
pub fn trusted(at: u32, head: &Head, trusted: Option<&Hash>) -> Checked {
    match trusted {
        Some(hash) => same(at, "the trusted hash", hash, head.hash),
        None => Ok(()),
    }
}

//! Take a typed `LedgerCloseMeta` of any version apart: what a link changes, and the bytes around it.
use stellar_xdr::{
    FeeBumpTransactionInnerTx, GeneralizedTransactionSet, Hash, LedgerCloseMeta, LedgerCloseMetaV0, LedgerCloseMetaV1,
    LedgerCloseMetaV2, LedgerHeaderHistoryEntry, TransactionEnvelope, TransactionMeta, TransactionPhase,
    TransactionResultPair, TransactionResultResult, TxSetComponent,
};

use crate::counts::Counts;
use crate::draft::SetKind;
use crate::xdr::{put, put_u32, xdr};

/// A ledger in pieces, as `Draft` keeps them, with what its proofs need.
pub struct Parts {
    pub lead: Vec<u8>,
    pub header: LedgerHeaderHistoryEntry,
    pub set: SetKind,
    pub previous: Hash,
    pub transactions: Vec<u8>,
    pub tail: Vec<u8>,
    /// XDR of the `TransactionResultSet`.
    pub results: Vec<u8>,
    pub counts: Counts,
    envelopes: Vec<TransactionEnvelope>,
    hashes: Vec<[u8; 32]>,
}

/// The XDR of several values, one after another.
macro_rules! joined {
    ($($value:expr),+ $(,)?) => {{
        let mut out = Vec::new();
        $(put(&mut out, $value);)+
        out
    }};
}

/// A transaction's result and meta, of either version of `TransactionResultMeta`.
type Processed<'a> = (&'a TransactionResultPair, &'a TransactionMeta);

pub fn parts(meta: LedgerCloseMeta) -> Parts {
    match meta {
        LedgerCloseMeta::V0(v0) => of_v0(v0),
        LedgerCloseMeta::V1(v1) => of_v1(v1),
        LedgerCloseMeta::V2(v2) => of_v2(v2),
    }
}

impl Parts {
    /// Whether the results are those of the envelopes on this network.
    pub fn hashes_match(&self, network: &[u8; 32]) -> bool {
        let hash = |envelope: &TransactionEnvelope| envelope.hash(*network).expect("an envelope that was read");
        let mut own: Vec<_> = self.envelopes.iter().map(hash).collect();
        let mut named = self.hashes.clone();
        own.sort_unstable();
        named.sort_unstable();
        own == named
    }

    fn new(
        lead: Vec<u8>,
        header: LedgerHeaderHistoryEntry,
        (set, previous, transactions): (SetKind, Hash, Vec<u8>),
        envelopes: Vec<TransactionEnvelope>,
        processed: &[Processed],
        tail: Vec<u8>,
    ) -> Self {
        let mut results = Vec::new();
        put_u32(&mut results, processed.len());
        processed.iter().for_each(|(result, _)| put(&mut results, *result));
        let hashes = processed.iter().map(|(result, _)| result.transaction_hash.0).collect();
        let counts = counts(&envelopes, processed);
        Self { lead, header, set, previous, transactions, tail, results, counts, envelopes, hashes }
    }
}

fn of_v0(meta: LedgerCloseMetaV0) -> Parts {
    let processed: Vec<Processed> = meta.tx_processing.iter().map(|t| (&t.result, &t.tx_apply_processing)).collect();
    let tail = joined!(&meta.tx_processing, &meta.upgrades_processing, &meta.scp_info);
    let set = (SetKind::Legacy, meta.tx_set.previous_ledger_hash.clone(), xdr(&meta.tx_set.txs));
    Parts::new(xdr(&0u32), meta.ledger_header, set, meta.tx_set.txs.to_vec(), &processed, tail)
}

fn of_v1(meta: LedgerCloseMetaV1) -> Parts {
    let processed: Vec<Processed> = meta.tx_processing.iter().map(|t| (&t.result, &t.tx_apply_processing)).collect();
    let tail = joined!(
        &meta.tx_processing,
        &meta.upgrades_processing,
        &meta.scp_info,
        &meta.total_byte_size_of_live_soroban_state,
        &meta.evicted_keys,
        &meta.unused,
    );
    let (set, envelopes) = generalized(meta.tx_set);
    Parts::new(joined!(&1u32, &meta.ext), meta.ledger_header, set, envelopes, &processed, tail)
}

fn of_v2(meta: LedgerCloseMetaV2) -> Parts {
    let processed: Vec<Processed> = meta.tx_processing.iter().map(|t| (&t.result, &t.tx_apply_processing)).collect();
    let tail = joined!(
        &meta.tx_processing,
        &meta.upgrades_processing,
        &meta.scp_info,
        &meta.total_byte_size_of_live_soroban_state,
        &meta.evicted_keys,
    );
    let (set, envelopes) = generalized(meta.tx_set);
    Parts::new(joined!(&2u32, &meta.ext), meta.ledger_header, set, envelopes, &processed, tail)
}

fn generalized(set: GeneralizedTransactionSet) -> ((SetKind, Hash, Vec<u8>), Vec<TransactionEnvelope>) {
    let GeneralizedTransactionSet::V1(set) = set;
    let transactions = xdr(&set.phases);
    let envelopes = set.phases.to_vec().into_iter().flat_map(of_phase).collect();
    ((SetKind::Generalized, set.previous_ledger_hash, transactions), envelopes)
}

fn of_phase(phase: TransactionPhase) -> Vec<TransactionEnvelope> {
    match phase {
        TransactionPhase::V0(components) => components.to_vec().into_iter().flat_map(of_component).collect(),
        TransactionPhase::V1(parallel) => {
            let clusters = parallel.execution_stages.iter().flat_map(|stage| stage.0.iter());
            clusters.flat_map(|cluster| cluster.0.iter().cloned()).collect()
        }
    }
}

fn of_component(component: TxSetComponent) -> Vec<TransactionEnvelope> {
    let TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) = component;
    component.txs.to_vec()
}

fn counts(envelopes: &[TransactionEnvelope], processed: &[Processed]) -> Counts {
    let (mut operation_events, mut transaction_events) = (0, 0);
    for (_, meta) in processed {
        let (of_operations, of_transaction) = events(meta);
        operation_events += of_operations as u64;
        transaction_events += of_transaction as u64;
    }
    Counts {
        ledgers: 1,
        transactions: processed.len() as u64,
        successful: processed.iter().filter(|(result, _)| successful(result)).count() as u64,
        operations: envelopes.iter().map(|envelope| operations(envelope) as u64).sum(),
        operation_events,
        transaction_events,
    }
}

fn successful(pair: &TransactionResultPair) -> bool {
    use TransactionResultResult::{TxFeeBumpInnerSuccess, TxSuccess};
    matches!(pair.result.result, TxSuccess(_) | TxFeeBumpInnerSuccess(_))
}

fn operations(envelope: &TransactionEnvelope) -> usize {
    match envelope {
        TransactionEnvelope::TxV0(v0) => v0.tx.operations.len(),
        TransactionEnvelope::Tx(v1) => v1.tx.operations.len(),
        TransactionEnvelope::TxFeeBump(bump) => {
            let FeeBumpTransactionInnerTx::Tx(inner) = &bump.tx.inner_tx;
            inner.tx.operations.len()
        }
    }
}

/// Events of the operations, and of the transaction itself.
fn events(meta: &TransactionMeta) -> (usize, usize) {
    match meta {
        TransactionMeta::V3(v3) => (v3.soroban_meta.as_ref().map_or(0, |soroban| soroban.events.len()), 0),
        TransactionMeta::V4(v4) => {
            (v4.operations.iter().map(|operation| operation.events.len()).sum(), v4.events.len())
        }
        _ => (0, 0),
    }
}

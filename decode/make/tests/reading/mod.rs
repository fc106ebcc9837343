//! Reads a lake back with the typed decoder, and recomputes by its own means what each ledger proves.
#![allow(dead_code, reason = "each test uses a part of it")]
use std::fs;
use std::path::{Path, PathBuf};

use ledgerfill_make::{Content, Counts, MakeError, Order, make_lake};
use sha2::{Digest, Sha256};
use stellar_xdr::{
    GeneralizedTransactionSet, Hash, InvokeHostFunctionResult, InvokeHostFunctionSuccessPreImage, LedgerCloseMeta,
    LedgerCloseMetaBatch, LedgerHeaderHistoryEntry, Limits, OperationResult, OperationResultTr, ReadXdr,
    TransactionEnvelope, TransactionMeta, TransactionPhase, TransactionResultPair, TransactionResultSet, WriteXdr,
};

pub const SYNTHETIC: &str = "ledgerfill synthetic network ; 2026";

/// A folder of its own for one test, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ledgerfill-make-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The simplest order: from ledger 2, one ledger an object, one thread.
pub fn order<'a>(path: &'a Folder, ledgers: u32, content: Content<'a>) -> Order<'a> {
    Order {
        path: &path.0,
        first: 2,
        ledgers,
        seed: 1,
        content,
        ledgers_per_object: 1,
        objects_per_partition: 64_000,
        threads: 1,
    }
}

pub fn make(order: &Order) -> Result<Counts, MakeError> {
    make_lake(order, &mut || true)
}

/// Every file of the lake by its key, with its bytes.
pub fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((key, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The objects of the lake, oldest first: the newest sorts first in a lake.
pub fn objects(root: &Path) -> Vec<(String, Vec<u8>)> {
    let is_object = |(key, _): &(String, Vec<u8>)| key.ends_with(".xdr.zst");
    files(root).into_iter().rev().filter(is_object).collect()
}

pub fn batch(object: &[u8]) -> LedgerCloseMetaBatch {
    LedgerCloseMetaBatch::from_xdr(zstd::decode_all(object).unwrap(), Limits::none()).unwrap()
}

pub fn ledgers(root: &Path) -> Vec<LedgerCloseMeta> {
    objects(root).iter().flat_map(|(_, object)| batch(object).ledger_close_metas.to_vec()).collect()
}

pub fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

pub fn hash_of(value: &impl WriteXdr) -> Hash {
    sha256(&value.to_xdr(Limits::none()).unwrap())
}

pub fn header(ledger: &LedgerCloseMeta) -> &LedgerHeaderHistoryEntry {
    match ledger {
        LedgerCloseMeta::V0(v0) => &v0.ledger_header,
        LedgerCloseMeta::V1(v1) => &v1.ledger_header,
        LedgerCloseMeta::V2(v2) => &v2.ledger_header,
    }
}

pub fn results(ledger: &LedgerCloseMeta) -> Vec<(TransactionResultPair, TransactionMeta)> {
    match ledger {
        LedgerCloseMeta::V0(v0) => {
            v0.tx_processing.iter().map(|t| (t.result.clone(), t.tx_apply_processing.clone())).collect()
        }
        LedgerCloseMeta::V1(v1) => {
            v1.tx_processing.iter().map(|t| (t.result.clone(), t.tx_apply_processing.clone())).collect()
        }
        LedgerCloseMeta::V2(v2) => {
            v2.tx_processing.iter().map(|t| (t.result.clone(), t.tx_apply_processing.clone())).collect()
        }
    }
}

pub fn envelopes(ledger: &LedgerCloseMeta) -> Vec<TransactionEnvelope> {
    let set = match ledger {
        LedgerCloseMeta::V0(v0) => return v0.tx_set.txs.to_vec(),
        LedgerCloseMeta::V1(v1) => &v1.tx_set,
        LedgerCloseMeta::V2(v2) => &v2.tx_set,
    };
    let GeneralizedTransactionSet::V1(set) = set;
    set.phases.iter().flat_map(of_phase).collect()
}

fn of_phase(phase: &TransactionPhase) -> Vec<TransactionEnvelope> {
    match phase {
        TransactionPhase::V0(components) => components
            .iter()
            .flat_map(|component| {
                let stellar_xdr::TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) = component;
                component.txs.to_vec()
            })
            .collect(),
        TransactionPhase::V1(parallel) => {
            let clusters = parallel.execution_stages.iter().flat_map(|stage| stage.0.to_vec());
            clusters.flat_map(|cluster| cluster.0.to_vec()).collect()
        }
    }
}

/// Panics where a ledger of a chain does not prove what it should.
pub fn prove(chain: &[LedgerCloseMeta], passphrase: &str) {
    for pair in chain.windows(2) {
        let (before, after) = (header(&pair[0]), header(&pair[1]));
        assert_eq!(after.header.previous_ledger_hash, before.hash);
        assert_eq!(after.header.ledger_seq, before.header.ledger_seq + 1);
        assert!(after.header.scp_value.close_time > before.header.scp_value.close_time);
    }
    chain.iter().for_each(|ledger| prove_one(ledger, sha256(passphrase.as_bytes())));
}

fn prove_one(ledger: &LedgerCloseMeta, network: Hash) {
    let LedgerHeaderHistoryEntry { hash, header, .. } = header(ledger);
    assert_eq!(&hash_of(header), hash);
    let (set_hash, set_previous) = match ledger {
        LedgerCloseMeta::V0(v0) => {
            let mut bytes = v0.tx_set.previous_ledger_hash.0.to_vec();
            v0.tx_set.txs.iter().for_each(|tx| bytes.extend(tx.to_xdr(Limits::none()).unwrap()));
            (sha256(&bytes), &v0.tx_set.previous_ledger_hash)
        }
        LedgerCloseMeta::V1(v1) => generalized(&v1.tx_set),
        LedgerCloseMeta::V2(v2) => generalized(&v2.tx_set),
    };
    assert_eq!(header.scp_value.tx_set_hash, set_hash);
    assert_eq!(&header.previous_ledger_hash, set_previous);
    let processed = results(ledger);
    let pairs: Vec<_> = processed.iter().map(|(result, _)| result.clone()).collect();
    assert_eq!(header.tx_set_result_hash, hash_of(&TransactionResultSet { results: pairs.try_into().unwrap() }));
    let mut own: Vec<_> = envelopes(ledger).iter().map(|envelope| Hash(envelope.hash(network.0).unwrap())).collect();
    let mut named: Vec<_> = processed.iter().map(|(result, _)| result.transaction_hash.clone()).collect();
    own.sort();
    named.sort();
    assert_eq!(own, named);
    processed.iter().for_each(|(result, meta)| prove_call(result, meta));
}

fn generalized(set: &GeneralizedTransactionSet) -> (Hash, &Hash) {
    let GeneralizedTransactionSet::V1(v1) = set;
    (hash_of(set), &v1.previous_ledger_hash)
}

/// A contract call's result is the hash of what it returned and of its events.
fn prove_call(result: &TransactionResultPair, meta: &TransactionMeta) {
    let TransactionMeta::V4(meta) = meta else { return };
    let Some(OperationResult::OpInner(OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(hash)))) =
        operation_results(result).first().cloned()
    else {
        return;
    };
    let return_value = meta.soroban_meta.as_ref().unwrap().return_value.clone().unwrap();
    let events = meta.operations[0].events.clone();
    assert_eq!(hash, hash_of(&InvokeHostFunctionSuccessPreImage { return_value, events }));
}

pub fn operation_results(result: &TransactionResultPair) -> Vec<OperationResult> {
    use stellar_xdr::{InnerTransactionResultResult as Inner, TransactionResultResult as Outer};
    match &result.result.result {
        Outer::TxSuccess(results) | Outer::TxFailed(results) => results.to_vec(),
        Outer::TxFeeBumpInnerSuccess(pair) | Outer::TxFeeBumpInnerFailed(pair) => match &pair.result.result {
            Inner::TxSuccess(results) | Inner::TxFailed(results) => results.to_vec(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

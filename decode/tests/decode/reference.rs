//! The reference: the same proofs and the same rows from the values of the typed decoder, the plain way.
//!
//! Proofs re-encode what they hash, as a program on typed values has to. Tests and the benchmark share it.

use _decode::copy::Stream;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use stellar_xdr::*;

pub type Hash32 = [u8; 32];

/// The four tables; fields in the order of the sections.
#[derive(Default)]
pub struct Tables {
    pub streams: [Stream; 4],
    scratch: Vec<u8>,
}

/// What a `TransactionMeta` comes to: events, and what an invocation's hash covers.
#[derive(Default)]
struct Meta<'a> {
    transaction: Vec<(&'a ContractEvent, TransactionEventStage)>,
    operations: Vec<(usize, &'a [ContractEvent])>,
    return_value: Option<&'a ScVal>,
}

/// One element of `txProcessing`, whatever its version.
type Processed<'a> = (&'a TransactionResultPair, &'a TransactionMeta);

impl Tables {
    pub fn start(&mut self) {
        self.streams.iter_mut().for_each(Stream::start);
    }

    /// Proves one ledger and adds its rows; returns how many event hashes do not hold below protocol 23.
    pub fn add(&mut self, lcm: &LedgerCloseMeta, network: &Hash32) -> Result<u64, String> {
        let (entry, processed) = parts(lcm);
        let envelopes = envelopes(lcm);
        self.prove_header(lcm, entry, &processed)?;
        let by_hash = self.match_envelopes(&envelopes, network);
        if by_hash.len() != processed.len() || envelopes.len() != processed.len() {
            return Err(format!("{} envelopes and {} results", envelopes.len(), processed.len()));
        }
        let mut totals = [0_i32; 3];
        let mut mismatches = 0;
        for (index, (pair, meta)) in processed.iter().enumerate() {
            let envelope = by_hash.get(&pair.transaction_hash.0).ok_or("a result without an envelope")?;
            let toid = i64::from(entry.header.ledger_seq) << 32 | (index as i64 + 1) << 12;
            let meta = read_meta(meta);
            mismatches += self.prove_events(pair, &meta, entry.header.ledger_version)?;
            totals[0] += i32::from(self.transaction(toid, pair, envelope));
            totals[1] += self.operations(toid, envelope);
            totals[2] += self.events(toid, &meta);
        }
        self.ledger(entry, processed.len(), totals);
        Ok(mismatches)
    }

    fn encoded(&mut self, value: &impl WriteXdr) -> &[u8] {
        self.scratch.clear();
        value.write_xdr(&mut Limited::new(&mut self.scratch, Limits::none())).expect("memory takes it");
        &self.scratch
    }

    fn prove_header(
        &mut self,
        lcm: &LedgerCloseMeta,
        entry: &LedgerHeaderHistoryEntry,
        processed: &[Processed],
    ) -> Result<(), String> {
        same("header", &Sha256::digest(self.encoded(&entry.header)).into(), &entry.hash)?;
        let (set_hash, previous) = self.set_hash(lcm);
        same("transaction set", &set_hash, &entry.header.scp_value.tx_set_hash)?;
        same("previous ledger of the set", &previous.0, &entry.header.previous_ledger_hash)?;
        let mut sha = Sha256::new().chain_update((processed.len() as u32).to_be_bytes());
        for (pair, _) in processed {
            sha.update(self.encoded(*pair));
        }
        same("results", &sha.finalize().into(), &entry.header.tx_set_result_hash)
    }

    fn set_hash<'a>(&mut self, lcm: &'a LedgerCloseMeta) -> (Hash32, &'a Hash) {
        let set = match lcm {
            LedgerCloseMeta::V0(v0) => {
                let mut sha = Sha256::new().chain_update(v0.tx_set.previous_ledger_hash.0);
                for envelope in v0.tx_set.txs.iter() {
                    sha.update(self.encoded(envelope));
                }
                return (sha.finalize().into(), &v0.tx_set.previous_ledger_hash);
            }
            LedgerCloseMeta::V1(v1) => &v1.tx_set,
            LedgerCloseMeta::V2(v2) => &v2.tx_set,
        };
        let GeneralizedTransactionSet::V1(inner) = set;
        (Sha256::digest(self.encoded(set)).into(), &inner.previous_ledger_hash)
    }

    fn match_envelopes<'a>(
        &mut self,
        envelopes: &[&'a TransactionEnvelope],
        network: &Hash32,
    ) -> HashMap<Hash32, &'a TransactionEnvelope> {
        let mut out = HashMap::with_capacity(envelopes.len());
        for envelope in envelopes {
            let sha = Sha256::new().chain_update(network);
            let hash = match envelope {
                TransactionEnvelope::TxV0(e) => {
                    sha.chain_update([0, 0, 0, 2, 0, 0, 0, 0]).chain_update(self.encoded(&e.tx))
                }
                TransactionEnvelope::Tx(e) => sha.chain_update([0, 0, 0, 2]).chain_update(self.encoded(&e.tx)),
                TransactionEnvelope::TxFeeBump(e) => sha.chain_update([0, 0, 0, 5]).chain_update(self.encoded(&e.tx)),
            };
            out.insert(hash.finalize().into(), *envelope);
        }
        out
    }

    fn prove_events(&mut self, pair: &TransactionResultPair, meta: &Meta, protocol: u32) -> Result<u64, String> {
        let Some(wanted) = invocation(&pair.result.result) else { return Ok(0) };
        let mut sha = Sha256::new();
        if let Some(value) = meta.return_value {
            sha.update(self.encoded(value));
        }
        if let Some((_, events)) = meta.operations.first() {
            sha.update((events.len() as u32).to_be_bytes());
            for event in *events {
                sha.update(self.encoded(event));
            }
        }
        match same("events", &sha.finalize().into(), wanted) {
            Err(reason) if protocol >= 23 => Err(reason),
            result => Ok(u64::from(result.is_err())),
        }
    }

    fn ledger(&mut self, entry: &LedgerHeaderHistoryEntry, transactions: usize, totals: [i32; 3]) {
        let row = &mut self.streams[0];
        row.row(9);
        row.int4(entry.header.ledger_seq as i32);
        row.hash(&entry.hash.0);
        row.hash(&entry.header.previous_ledger_hash.0);
        row.int8((entry.header.scp_value.close_time.0 as i64 - 946_684_800) * 1_000_000);
        row.int4(entry.header.ledger_version as i32);
        row.int4(transactions as i32);
        totals.iter().for_each(|total| row.int4(*total));
    }

    fn transaction(&mut self, toid: i64, pair: &TransactionResultPair, envelope: &TransactionEnvelope) -> bool {
        let (source, operations, payer) = inner(envelope);
        let code = pair.result.result.discriminant() as i16;
        let successful = code == 0 || code == 1;
        let row = &mut self.streams[1];
        row.row(9);
        row.int8(toid);
        row.hash(&pair.transaction_hash.0);
        row.boolean(successful);
        row.int4(operations.len() as i32);
        row.int8(pair.result.fee_charged);
        account(row, &source);
        match payer {
            Some(payer) => row.address(48, key(payer).0),
            None => row.null(),
        }
        row.int2(code);
        successful
    }

    fn operations(&mut self, toid: i64, envelope: &TransactionEnvelope) -> i32 {
        let (source, operations, _) = inner(envelope);
        for (operation, place) in operations.iter().zip(1..) {
            self.encoded(&operation.body);
            let row = &mut self.streams[2];
            row.row(5);
            row.int8(toid | place);
            row.int2(operation.body.discriminant() as i16);
            account(row, operation.source_account.as_ref().unwrap_or(&source));
            row.bytea(&self.scratch);
        }
        operations.len() as i32
    }

    fn events(&mut self, toid: i64, meta: &Meta) -> i32 {
        let mut count = 0;
        for (index, (event, stage)) in meta.transaction.iter().enumerate() {
            self.event(toid, index, Some(*stage as i16), event);
            count += 1;
        }
        for (operation, events) in &meta.operations {
            for (index, event) in events.iter().enumerate() {
                self.event(toid | *operation as i64, index, None, event);
                count += 1;
            }
        }
        count
    }

    fn event(&mut self, id: i64, index: usize, stage: Option<i16>, event: &ContractEvent) {
        let ContractEventBody::V0(body) = &event.body;
        let row = &mut self.streams[3];
        row.row(7);
        row.int8(id);
        row.int4(index as i32);
        match stage {
            Some(stage) => row.int2(stage),
            None => row.null(),
        }
        row.int2(event.type_ as i16);
        match &event.contract_id {
            Some(contract) => row.hash(&contract.0.0),
            None => row.null(),
        }
        self.encoded(&body.topics);
        self.streams[3].bytea(&self.scratch);
        self.encoded(&body.data);
        self.streams[3].bytea(&self.scratch);
    }
}

fn same(what: &str, found: &Hash32, wanted: &Hash) -> Result<(), String> {
    if *found == wanted.0 { Ok(()) } else { Err(format!("{what}: the hash does not hold")) }
}

/// The header and `txProcessing` of a ledger.
fn parts(lcm: &LedgerCloseMeta) -> (&LedgerHeaderHistoryEntry, Vec<Processed<'_>>) {
    fn old(t: &TransactionResultMeta) -> Processed<'_> {
        (&t.result, &t.tx_apply_processing)
    }
    fn new(t: &TransactionResultMetaV1) -> Processed<'_> {
        (&t.result, &t.tx_apply_processing)
    }
    match lcm {
        LedgerCloseMeta::V0(v) => (&v.ledger_header, v.tx_processing.iter().map(old).collect()),
        LedgerCloseMeta::V1(v) => (&v.ledger_header, v.tx_processing.iter().map(old).collect()),
        LedgerCloseMeta::V2(v) => (&v.ledger_header, v.tx_processing.iter().map(new).collect()),
    }
}

fn envelopes(lcm: &LedgerCloseMeta) -> Vec<&TransactionEnvelope> {
    let set = match lcm {
        LedgerCloseMeta::V0(v0) => return v0.tx_set.txs.iter().collect(),
        LedgerCloseMeta::V1(v1) => &v1.tx_set,
        LedgerCloseMeta::V2(v2) => &v2.tx_set,
    };
    let GeneralizedTransactionSet::V1(set) = set;
    let mut out = Vec::new();
    for phase in set.phases.iter() {
        match phase {
            TransactionPhase::V0(components) => {
                for TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component) in components.iter() {
                    out.extend(component.txs.iter());
                }
            }
            TransactionPhase::V1(parallel) => {
                let clusters = parallel.execution_stages.iter().flat_map(|stage| stage.0.iter());
                out.extend(clusters.flat_map(|cluster| cluster.0.iter()));
            }
        }
    }
    out
}

fn read_meta(meta: &TransactionMeta) -> Meta<'_> {
    match meta {
        TransactionMeta::V3(v3) => v3.soroban_meta.as_ref().map_or_else(Meta::default, |soroban| Meta {
            operations: vec![(1, soroban.events.as_slice())],
            return_value: Some(&soroban.return_value),
            ..Meta::default()
        }),
        TransactionMeta::V4(v4) => Meta {
            transaction: v4.events.iter().map(|event| (&event.event, event.stage)).collect(),
            operations: (1..).zip(v4.operations.iter().map(|operation| operation.events.as_slice())).collect(),
            return_value: v4.soroban_meta.as_ref().and_then(|soroban| soroban.return_value.as_ref()),
        },
        _ => Meta::default(),
    }
}

/// The hash in the result of a successful invocation.
fn invocation(result: &TransactionResultResult) -> Option<&Hash> {
    let results = match result {
        TransactionResultResult::TxSuccess(results) => results,
        TransactionResultResult::TxFeeBumpInnerSuccess(pair) => match &pair.result.result {
            InnerTransactionResultResult::TxSuccess(results) => results,
            _ => return None,
        },
        _ => return None,
    };
    match results.first() {
        Some(OperationResult::OpInner(OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(
            hash,
        )))) => Some(hash),
        _ => None,
    }
}

/// Source and operations of an envelope, and who pays a fee bump.
fn inner(envelope: &TransactionEnvelope) -> (MuxedAccount, &[Operation], Option<&MuxedAccount>) {
    match envelope {
        TransactionEnvelope::TxV0(e) => {
            (MuxedAccount::Ed25519(e.tx.source_account_ed25519.clone()), &e.tx.operations, None)
        }
        TransactionEnvelope::Tx(e) => (e.tx.source_account.clone(), &e.tx.operations, None),
        TransactionEnvelope::TxFeeBump(e) => {
            let FeeBumpTransactionInnerTx::Tx(inner) = &e.tx.inner_tx;
            (inner.tx.source_account.clone(), &inner.tx.operations, Some(&e.tx.fee_source))
        }
    }
}

fn key(account: &MuxedAccount) -> (&Hash32, Option<u64>) {
    match account {
        MuxedAccount::Ed25519(key) => (&key.0, None),
        MuxedAccount::MuxedEd25519(muxed) => (&muxed.ed25519.0, Some(muxed.id)),
    }
}

fn account(row: &mut Stream, account: &MuxedAccount) {
    let (key, id) = key(account);
    row.address(48, key);
    match id {
        Some(id) => row.numeric(id),
        None => row.null(),
    }
}

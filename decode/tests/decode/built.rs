//! Small ledgers written by the typed encoder, valid in every hash: what no real ledger at hand shows.
use _decode::prove::network_id;
use sha2::{Digest, Sha256};
use stellar_xdr::*;

/// The network of all built ledgers.
pub const PASSPHRASE: &str = "built for tests";

/// A transaction with its outcome.
pub struct Built {
    pub envelope: TransactionEnvelope,
    pub result: TransactionResultResult,
    pub meta: TransactionMeta,
}

/// How the transaction set is kept.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    Legacy,
    Generalized,
    Parallel,
}

pub fn xdr(value: &impl WriteXdr) -> Vec<u8> {
    value.to_xdr(Limits::none()).expect("memory takes it")
}

pub fn sha(value: &impl WriteXdr) -> Hash {
    Hash(Sha256::digest(xdr(value)).into())
}

/// A transaction of `account` with operations, successful, under a meta.
pub fn transaction(account: MuxedAccount, operations: Vec<Operation>, meta: TransactionMeta) -> Built {
    let tx = Transaction {
        source_account: account,
        operations: operations.try_into().expect("up to 100 operations"),
        ..Transaction::default()
    };
    let envelope = TransactionEnvelope::Tx(TransactionV1Envelope { tx, ..TransactionV1Envelope::default() });
    Built { envelope, result: TransactionResultResult::TxSuccess(VecM::default()), meta }
}

/// An account whose key repeats one byte.
pub fn plain(byte: u8) -> MuxedAccount {
    MuxedAccount::Ed25519(Uint256([byte; 32]))
}

/// The same with an id.
pub fn muxed(byte: u8, id: u64) -> MuxedAccount {
    MuxedAccount::MuxedEd25519(MuxedAccountMed25519 { id, ed25519: Uint256([byte; 32]) })
}

/// An operation that carries one byte.
pub fn bump(source_account: Option<MuxedAccount>, to: i64) -> Operation {
    let body = OperationBody::BumpSequence(BumpSequenceOp { bump_to: SequenceNumber(to) });
    Operation { source_account, body }
}

/// An event of a contract whose id repeats one byte.
pub fn event(byte: u8, data: ScVal) -> ContractEvent {
    let topics = vec![ScVal::U32(u32::from(byte)), ScVal::Void].try_into().expect("few topics");
    ContractEvent {
        contract_id: Some(ContractId(Hash([byte; 32]))),
        type_: ContractEventType::Contract,
        body: ContractEventBody::V0(ContractEventV0 { topics, data }),
        ..ContractEvent::default()
    }
}

/// The hash of a built ledger.
pub fn hash_of(ledger: &LedgerCloseMeta) -> Hash {
    match ledger {
        LedgerCloseMeta::V0(v) => v.ledger_header.hash.clone(),
        LedgerCloseMeta::V1(v) => v.ledger_header.hash.clone(),
        LedgerCloseMeta::V2(v) => v.ledger_header.hash.clone(),
    }
}

/// Puts transactions into a ledger; `change` may edit the header before it is hashed.
pub fn ledger(
    sequence: u32,
    previous: &Hash,
    shape: Shape,
    built: Vec<Built>,
    change: impl Fn(&mut LedgerHeader),
) -> LedgerCloseMeta {
    let network = network_id(PASSPHRASE);
    let mut envelopes: Vec<TransactionEnvelope> = built.iter().map(|one| one.envelope.clone()).collect();
    envelopes.reverse(); // a set has another order than its results
    let processing: Vec<TransactionResultMeta> = built.into_iter().map(|one| result_meta(one, network)).collect();
    let results = processing.iter().map(|meta| meta.result.clone()).collect::<Vec<_>>();
    let set = generalized(previous, shape, &envelopes);
    let mut header = LedgerHeader {
        ledger_version: 22,
        ledger_seq: sequence,
        previous_ledger_hash: previous.clone(),
        tx_set_result_hash: sha(&TransactionResultSet { results: results.try_into().expect("few") }),
        ..LedgerHeader::default()
    };
    header.scp_value.close_time = TimePoint(1_700_000_000);
    header.scp_value.tx_set_hash = if shape == Shape::Legacy { legacy_hash(previous, &envelopes) } else { sha(&set) };
    change(&mut header);
    let ledger_header = LedgerHeaderHistoryEntry { hash: sha(&header), header, ..Default::default() };
    let tx_processing = processing.try_into().expect("few");
    if shape == Shape::Legacy {
        let tx_set = TransactionSet { previous_ledger_hash: previous.clone(), txs: envelopes.try_into().expect("few") };
        return LedgerCloseMeta::V0(LedgerCloseMetaV0 { ledger_header, tx_set, tx_processing, ..Default::default() });
    }
    LedgerCloseMeta::V1(LedgerCloseMetaV1 { ledger_header, tx_set: set, tx_processing, ..Default::default() })
}

fn result_meta(one: Built, network: [u8; 32]) -> TransactionResultMeta {
    let transaction_hash = Hash(one.envelope.hash(network).expect("memory takes it"));
    let result = TransactionResult { fee_charged: 100, result: one.result, ..TransactionResult::default() };
    TransactionResultMeta {
        result: TransactionResultPair { transaction_hash, result },
        tx_apply_processing: one.meta,
        ..TransactionResultMeta::default()
    }
}

fn legacy_hash(previous: &Hash, envelopes: &[TransactionEnvelope]) -> Hash {
    let mut sha = Sha256::new().chain_update(previous.0);
    envelopes.iter().for_each(|envelope| sha.update(xdr(envelope)));
    Hash(sha.finalize().into())
}

fn generalized(previous: &Hash, shape: Shape, envelopes: &[TransactionEnvelope]) -> GeneralizedTransactionSet {
    let txs: VecM<TransactionEnvelope> = envelopes.to_vec().try_into().expect("few");
    let phase = if shape == Shape::Parallel {
        let stage = ParallelTxExecutionStage(vec![DependentTxCluster(txs)].try_into().expect("one"));
        let execution_stages = vec![stage].try_into().expect("one");
        TransactionPhase::V1(ParallelTxsComponent { base_fee: Some(100), execution_stages })
    } else {
        let component = TxSetComponentTxsMaybeDiscountedFee { base_fee: None, txs };
        TransactionPhase::V0(vec![TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component)].try_into().expect("one"))
    };
    GeneralizedTransactionSet::V1(TransactionSetV1 {
        previous_ledger_hash: previous.clone(),
        phases: vec![phase].try_into().expect("one"),
    })
}

/// Ledgers `first..first + count`, linked, of one small transaction each.
pub fn chain(first: u32, count: u32) -> Vec<LedgerCloseMeta> {
    let mut previous = Hash([1; 32]);
    let mut out = Vec::new();
    for sequence in first..first + count {
        let one = transaction(plain(sequence as u8), vec![bump(None, 1)], TransactionMeta::V0(VecM::default()));
        let ledger = ledger(sequence, &previous, Shape::Generalized, vec![one], |_| {});
        previous = hash_of(&ledger);
        out.push(ledger);
    }
    out
}

/// A batch as an object holds it, before compression.
pub fn batch(ledgers: &[LedgerCloseMeta], first: u32, last: u32) -> Vec<u8> {
    xdr(&LedgerCloseMetaBatch {
        start_sequence: first,
        end_sequence: last,
        ledger_close_metas: ledgers.to_vec().try_into().expect("few"),
    })
}

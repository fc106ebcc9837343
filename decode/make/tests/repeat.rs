//! Ledgers of a source, repeated: sound in every hash, whatever version they are.
mod reading;

use ledgerfill_make::{Content, Counts, MakeError};
use reading::{Folder, SYNTHETIC, envelopes, hash_of, header, ledgers, make, objects, order, prove, results, sha256};
use stellar_xdr::{
    Hash, LedgerCloseMeta, LedgerCloseMetaBatch, LedgerCloseMetaV0, LedgerCloseMetaV1, LedgerCloseMetaV2,
    LedgerHeaderHistoryEntry, Limits, TransactionResultMeta, TransactionSet, WriteXdr,
};

type Objects = Vec<(String, Vec<u8>)>;

/// A few ledgers with transactions, one an object.
fn source(name: &str) -> Objects {
    let folder = Folder::new(name);
    make(&order(&folder, 3, Content::Pubnet)).unwrap();
    objects(&folder.0)
}

fn repeat(folder: &Folder, source: &Objects, passphrase: &str, length: u32) -> Result<Counts, MakeError> {
    let objects: Vec<(&str, &[u8])> = source.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
    make(&order(folder, length, Content::Repeat { objects: &objects, passphrase }))
}

fn pack(ledgers: Vec<LedgerCloseMeta>) -> Vec<u8> {
    let sequences: Vec<_> = ledgers.iter().map(|ledger| header(ledger).header.ledger_seq).collect();
    let batch = LedgerCloseMetaBatch {
        start_sequence: sequences[0],
        end_sequence: sequences[sequences.len() - 1],
        ledger_close_metas: ledgers.try_into().unwrap(),
    };
    zstd::encode_all(&batch.to_xdr(Limits::none()).unwrap()[..], 1).unwrap()
}

fn unpack(object: &[u8]) -> LedgerCloseMetaV2 {
    match reading::batch(object).ledger_close_metas.to_vec().remove(0) {
        LedgerCloseMeta::V2(v2) => v2,
        _ => panic!("not a LedgerCloseMeta V2"),
    }
}

fn processing(v2: &LedgerCloseMetaV2) -> Vec<TransactionResultMeta> {
    let one = |t: &stellar_xdr::TransactionResultMetaV1| TransactionResultMeta {
        result: t.result.clone(),
        fee_processing: t.fee_processing.clone(),
        tx_apply_processing: t.tx_apply_processing.clone(),
    };
    v2.tx_processing.iter().map(one).collect()
}

fn as_v1(v2: LedgerCloseMetaV2) -> LedgerCloseMeta {
    LedgerCloseMeta::V1(LedgerCloseMetaV1 {
        tx_processing: processing(&v2).try_into().unwrap(),
        ext: v2.ext,
        ledger_header: v2.ledger_header,
        tx_set: v2.tx_set,
        upgrades_processing: v2.upgrades_processing,
        scp_info: v2.scp_info,
        total_byte_size_of_live_soroban_state: v2.total_byte_size_of_live_soroban_state,
        evicted_keys: v2.evicted_keys,
        unused: Vec::new().try_into().unwrap(),
    })
}

/// With the legacy transaction set, which has a hash of another kind.
fn as_v0(v2: LedgerCloseMetaV2) -> LedgerCloseMeta {
    let tx_processing = processing(&v2).try_into().unwrap();
    let LedgerHeaderHistoryEntry { mut header, ext, .. } = v2.ledger_header.clone();
    let txs = envelopes(&LedgerCloseMeta::V2(v2));
    let mut bytes = header.previous_ledger_hash.0.to_vec();
    txs.iter().for_each(|tx| bytes.extend(tx.to_xdr(Limits::none()).unwrap()));
    header.scp_value.tx_set_hash = sha256(&bytes);
    let previous_ledger_hash = header.previous_ledger_hash.clone();
    LedgerCloseMeta::V0(LedgerCloseMetaV0 {
        ledger_header: LedgerHeaderHistoryEntry { hash: hash_of(&header), header, ext },
        tx_set: TransactionSet { previous_ledger_hash, txs: txs.try_into().unwrap() },
        tx_processing,
        upgrades_processing: Vec::new().try_into().unwrap(),
        scp_info: Vec::new().try_into().unwrap(),
    })
}

#[test]
fn every_proof_holds_however_often_a_ledger_comes_back() {
    let (source, folder) = (source("again-source"), Folder::new("again"));
    repeat(&folder, &source, SYNTHETIC, 10).unwrap();
    let chain = ledgers(&folder.0);
    assert_eq!(chain.len(), 10);
    prove(&chain, SYNTHETIC);
    assert_eq!(results(&chain[0]), results(&chain[9]), "a ledger comes back as it was");
}

#[test]
fn ledgers_of_every_version_are_repeated() {
    let mut source = source("versions-source");
    source[0].1 = pack(vec![as_v0(unpack(&source[0].1))]);
    source[1].1 = pack(vec![as_v1(unpack(&source[1].1))]);
    let folder = Folder::new("versions");
    repeat(&folder, &source, SYNTHETIC, 7).unwrap();
    let chain = ledgers(&folder.0);
    prove(&chain, SYNTHETIC);
    assert!(matches!(chain[3..6], [LedgerCloseMeta::V0(_), LedgerCloseMeta::V1(_), LedgerCloseMeta::V2(_)]));
}

#[test]
fn the_counts_are_those_of_the_source_times_the_rounds() {
    let (made, again) = (Folder::new("rounds-source"), Folder::new("rounds"));
    let once = make(&order(&made, 3, Content::Pubnet)).unwrap();
    let twice = repeat(&again, &objects(&made.0), SYNTHETIC, 6).unwrap();
    let mut sum = once;
    sum += once;
    assert_eq!(twice, sum);
}

/// The refusal that a damaged source leads to.
fn refusal(name: &str, source: &Objects, passphrase: &str) -> ledgerfill_make::CorruptSource {
    let folder = Folder::new(name);
    match repeat(&folder, source, passphrase, 4) {
        Err(MakeError::Source(corrupt)) => {
            assert!(!folder.0.exists(), "nothing is written");
            *corrupt
        }
        other => panic!("not refused for its source: {other:?}"),
    }
}

#[test]
fn another_networks_ledgers_are_refused() {
    let source = source("network-source");
    let refused = refusal("network", &source, "another network");
    assert_eq!((refused.object.as_str(), refused.ledger), (source[0].0.as_str(), 2));
    assert!(refused.expected.contains("passphrase"), "{refused}");
}

#[test]
fn an_object_that_ends_early_is_refused_by_name() {
    let mut source = source("short-source");
    source[1].1.truncate(20_000);
    let refused = refusal("short", &source, SYNTHETIC);
    assert_eq!((refused.object.as_str(), refused.ledger, refused.container), (source[1].0.as_str(), 3, true));
}

#[test]
fn a_ledger_that_does_not_decode_is_refused_with_its_offset() {
    let mut source = source("arm-source");
    let mut plain = zstd::decode_all(&source[2].1[..]).unwrap();
    // The arm of the LedgerCloseMeta, after the three numbers of the batch.
    plain[15] = 9;
    source[2].1 = zstd::encode_all(&plain[..], 1).unwrap();
    let refused = refusal("arm", &source, SYNTHETIC);
    assert_eq!((refused.ledger, refused.offset, refused.container), (4, 4, false));
}

#[test]
fn a_ledger_whose_proof_is_broken_is_refused() {
    let break_header = |v2: &mut LedgerCloseMetaV2| v2.ledger_header.hash = Hash([7; 32]);
    let break_results = |v2: &mut LedgerCloseMetaV2| {
        v2.ledger_header.header.tx_set_result_hash = Hash([7; 32]);
        v2.ledger_header.hash = hash_of(&v2.ledger_header.header);
    };
    let break_set = |v2: &mut LedgerCloseMetaV2| {
        v2.ledger_header.header.scp_value.tx_set_hash = Hash([7; 32]);
        v2.ledger_header.hash = hash_of(&v2.ledger_header.header);
    };
    type Break = dyn Fn(&mut LedgerCloseMetaV2);
    let cases: [(&str, &Break); 3] =
        [("header", &break_header), ("results", &break_results), ("transaction set", &break_set)];
    let sound = source("proof-source");
    for (what, damage) in cases {
        let mut source = sound.clone();
        let mut ledger = unpack(&source[1].1);
        damage(&mut ledger);
        source[1].1 = pack(vec![LedgerCloseMeta::V2(ledger)]);
        let refused = refusal("proof", &source, SYNTHETIC);
        assert_eq!(refused.ledger, 3);
        assert!(refused.expected.contains(what), "{refused}");
    }
}

//! Invented ledgers: sound in every hash, of the real mix, the same for the same order.
mod reading;

use ledgerfill_make::{Content, Counts, Order};
use reading::{Folder, envelopes, files, header, ledgers, make, objects, order, prove, results};
use stellar_xdr::{
    FeeBumpTransactionInnerTx, LedgerCloseMeta, MuxedAccount, TransactionEnvelope, TransactionMeta,
    TransactionResultResult,
};

/// What a typed decoder finds in the ledgers.
fn count(chain: &[LedgerCloseMeta]) -> Counts {
    let mut found = Counts { ledgers: chain.len() as u64, ..Counts::default() };
    for (result, meta) in chain.iter().flat_map(results) {
        let TransactionMeta::V4(meta) = meta else { panic!("not a TransactionMeta V4") };
        found.transactions += 1;
        let code = &result.result.result;
        found.successful += u64::from(matches!(
            code,
            TransactionResultResult::TxSuccess(_) | TransactionResultResult::TxFeeBumpInnerSuccess(_)
        ));
        found.operation_events += meta.operations.iter().map(|operation| operation.events.len() as u64).sum::<u64>();
        found.transaction_events += meta.events.len() as u64;
    }
    found.operations = chain.iter().flat_map(envelopes).map(|envelope| operations(&envelope)).sum();
    found
}

fn operations(envelope: &TransactionEnvelope) -> u64 {
    let count = match envelope {
        TransactionEnvelope::TxV0(v0) => v0.tx.operations.len(),
        TransactionEnvelope::Tx(v1) => v1.tx.operations.len(),
        TransactionEnvelope::TxFeeBump(bump) => {
            let FeeBumpTransactionInnerTx::Tx(inner) = &bump.tx.inner_tx;
            inner.tx.operations.len()
        }
    };
    count as u64
}

#[test]
fn every_proof_of_a_pubnet_ledger_holds() {
    let folder = Folder::new("pubnet-proofs");
    make(&order(&folder, 8, Content::Pubnet)).unwrap();
    prove(&ledgers(&folder.0), reading::SYNTHETIC);
}

#[test]
fn every_proof_of_a_sparse_ledger_holds() {
    let folder = Folder::new("sparse-proofs");
    make(&order(&folder, 200, Content::Sparse)).unwrap();
    prove(&ledgers(&folder.0), reading::SYNTHETIC);
}

#[test]
fn every_proof_of_a_ledger_of_tokens_holds() {
    let folder = Folder::new("tokens-proofs");
    make(&order(&folder, 60, Content::Tokens)).unwrap();
    prove(&ledgers(&folder.0), reading::SYNTHETIC);
}

#[test]
fn eight_pubnet_ledgers_hold_eight_times_the_real_mix() {
    let folder = Folder::new("mix");
    let order = Order { first: 1003, ..order(&folder, 8, Content::Pubnet) };
    let made = make(&order).unwrap();
    let mean = Counts {
        ledgers: 1,
        transactions: 267,
        successful: 134,
        operations: 692,
        operation_events: 363,
        transaction_events: 289,
    };
    let mut eight = Counts::default();
    (0..8).for_each(|_| eight += mean);
    assert_eq!(made, eight);
}

#[test]
fn the_counts_are_what_a_decoder_finds() {
    for (name, content, length) in
        [("pubnet", Content::Pubnet, 5), ("sparse", Content::Sparse, 300), ("tokens", Content::Tokens, 60)]
    {
        let folder = Folder::new(&format!("counts-{name}"));
        let made = make(&order(&folder, length, content)).unwrap();
        assert_eq!(made, count(&ledgers(&folder.0)));
    }
}

#[test]
fn pubnet_ledgers_are_as_large_and_compress_as_real_ones_do() {
    let folder = Folder::new("size");
    make(&order(&folder, 8, Content::Pubnet)).unwrap();
    let objects = objects(&folder.0);
    let stored: usize = objects.iter().map(|(_, object)| object.len()).sum();
    let plain: usize = objects.iter().map(|(_, object)| zstd::decode_all(&object[..]).unwrap().len()).sum();
    assert!((900_000..1_150_000).contains(&(plain / 8)), "{} bytes a ledger", plain / 8);
    let ratio = plain as f64 / stored as f64;
    assert!((6.5..8.0).contains(&ratio), "{ratio} : 1");
}

#[test]
fn every_form_of_an_envelope_occurs() {
    let folder = Folder::new("forms");
    make(&order(&folder, 4, Content::Pubnet)).unwrap();
    let envelopes: Vec<_> = ledgers(&folder.0).iter().flat_map(envelopes).collect();
    let muxed = |envelope: &&TransactionEnvelope| matches!(envelope, TransactionEnvelope::Tx(v1) if matches!(v1.tx.source_account, MuxedAccount::MuxedEd25519(_)));
    assert!(envelopes.iter().any(|envelope| matches!(envelope, TransactionEnvelope::TxV0(_))));
    assert!(envelopes.iter().any(|envelope| matches!(envelope, TransactionEnvelope::TxFeeBump(_))));
    assert!(envelopes.iter().any(|envelope| muxed(&envelope)));
}

#[test]
fn refunds_are_negative_fees_after_all_transactions() {
    let folder = Folder::new("refunds");
    make(&order(&folder, 1, Content::Pubnet)).unwrap();
    let chain = ledgers(&folder.0);
    let metas = chain.iter().flat_map(results).filter_map(|(_, meta)| match meta {
        TransactionMeta::V4(v4) => Some(v4),
        _ => None,
    });
    let told: Vec<_> = metas.flat_map(|meta| meta.events.to_vec()).collect();
    for event in &told {
        let stellar_xdr::ContractEventBody::V0(body) = &event.event.body;
        let stellar_xdr::ScVal::I128(amount) = &body.data else { panic!("a fee is an i128") };
        assert_eq!(amount.hi < 0, event.stage == stellar_xdr::TransactionEventStage::AfterAllTxs);
    }
    assert!(told.iter().any(|event| event.stage == stellar_xdr::TransactionEventStage::AfterAllTxs));
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let (one, three) = (Folder::new("one-thread"), Folder::new("three-threads"));
    make(&order(&one, 12, Content::Pubnet)).unwrap();
    make(&Order { threads: 3, ..order(&three, 12, Content::Pubnet) }).unwrap();
    assert_eq!(files(&one.0), files(&three.0));
}

#[test]
fn another_seed_gives_other_transactions() {
    let (one, two) = (Folder::new("seed-1"), Folder::new("seed-2"));
    make(&order(&one, 1, Content::Pubnet)).unwrap();
    make(&Order { seed: 2, ..order(&two, 1, Content::Pubnet) }).unwrap();
    let hashes = |folder: &Folder| -> Vec<_> {
        ledgers(&folder.0).iter().flat_map(results).map(|(result, _)| result.transaction_hash).collect()
    };
    let others = hashes(&two);
    assert!(hashes(&one).iter().all(|hash| !others.contains(hash)));
}

#[test]
fn a_ledger_holds_the_same_transactions_wherever_its_lake_starts() {
    let (early, late) = (Folder::new("early"), Folder::new("late"));
    make(&order(&early, 5, Content::Pubnet)).unwrap();
    make(&Order { first: 6, ..order(&late, 1, Content::Pubnet) }).unwrap();
    let (early, late) = (ledgers(&early.0), ledgers(&late.0));
    assert_eq!(header(&early[4]).header.tx_set_result_hash, header(&late[0]).header.tx_set_result_hash);
}

#[test]
fn most_sparse_ledgers_are_empty_and_some_are_not() {
    let folder = Folder::new("sparse");
    make(&order(&folder, 400, Content::Sparse)).unwrap();
    let chain = ledgers(&folder.0);
    let busy = chain.iter().filter(|ledger| !results(ledger).is_empty()).count();
    assert!((1..100).contains(&busy), "{busy} of 400 hold transactions");
}

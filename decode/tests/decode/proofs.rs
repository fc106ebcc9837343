//! Ledgers that do not hold together: each proof refuses, and names the ledger that was expected.
use crate::built::*;
use crate::driver::{Ran, run, run_with};
use _decode::chunk::Decoder;
use std::collections::HashMap;
use stellar_xdr::*;

const PREVIOUS: Hash = Hash([3; 32]);

/// Decodes ledger 7 after something was changed in it.
fn changed(ledger: LedgerCloseMeta, change: impl Fn(&mut LedgerCloseMetaV1)) -> Ran {
    let LedgerCloseMeta::V1(mut v1) = ledger else { panic!("built as V1") };
    change(&mut v1);
    run(7, 7, &[(7, 7, &xdr(&LedgerCloseMeta::V1(v1)))], true)
}

fn two() -> Vec<Built> {
    let meta = || TransactionMeta::V0(VecM::default());
    vec![transaction(plain(1), vec![bump(None, 1)], meta()), transaction(plain(2), vec![bump(None, 2)], meta())]
}

fn sound() -> LedgerCloseMeta {
    ledger(7, &PREVIOUS, Shape::Generalized, two(), |_| {})
}

/// Hashes the header again, so that only what it says is wrong.
fn reseal(v1: &mut LedgerCloseMetaV1) {
    v1.ledger_header.hash = sha(&v1.ledger_header.header);
}

fn refused(change: impl Fn(&mut LedgerCloseMetaV1), expected: &str) {
    let ran = changed(sound(), change);
    let error = ran.error();
    assert!(error.fault.expected.starts_with(expected), "{error}");
    assert_eq!((error.ledger, error.container, ran.chunk.ledgers), (7, false, 0));
    assert!(ran.written.is_empty() && ran.chunk.sections.is_empty());
}

#[test]
fn each_proof_refuses_what_it_covers() {
    assert_eq!(changed(sound(), |_| {}).chunk.error, None);
    refused(|v1| v1.ledger_header.header.total_coins = 1, "a header that hashes to");
    let other_set = |v1: &mut LedgerCloseMetaV1| {
        v1.ledger_header.header.scp_value.tx_set_hash = Hash([0; 32]);
        reseal(v1);
    };
    refused(other_set, "a transaction set that hashes to");
    let other_results = |v1: &mut LedgerCloseMetaV1| {
        v1.ledger_header.header.tx_set_result_hash = Hash([0; 32]);
        reseal(v1);
    };
    refused(other_results, "transaction results that hash to");
    let other_base = |v1: &mut LedgerCloseMetaV1| {
        let GeneralizedTransactionSet::V1(set) = &mut v1.tx_set;
        set.previous_ledger_hash = Hash([0; 32]);
        v1.ledger_header.header.scp_value.tx_set_hash = sha(&v1.tx_set);
        reseal(v1);
    };
    refused(other_base, "a transaction set on ledger 0303");
    let other_number = |v1: &mut LedgerCloseMetaV1| {
        v1.ledger_header.header.ledger_seq = 70;
        reseal(v1);
    };
    refused(other_number, "ledgerSeq 7");
}

/// Puts other results in place and makes the header agree with them.
fn with_results(v1: &mut LedgerCloseMetaV1, processing: Vec<TransactionResultMeta>) {
    let results: Vec<_> = processing.iter().map(|meta| meta.result.clone()).collect();
    v1.ledger_header.header.tx_set_result_hash =
        sha(&TransactionResultSet { results: results.try_into().expect("few") });
    v1.tx_processing = processing.try_into().expect("few");
    reseal(v1);
}

#[test]
fn every_envelope_has_one_result_and_every_result_one_envelope() {
    let lacks = |v1: &mut LedgerCloseMetaV1| with_results(v1, v1.tx_processing[..1].to_vec());
    refused(lacks, "a result for each transaction");
    let twice = |v1: &mut LedgerCloseMetaV1| {
        with_results(v1, vec![v1.tx_processing[0].clone(), v1.tx_processing[0].clone()]);
    };
    refused(twice, "one result a transaction");
    let stranger = |v1: &mut LedgerCloseMetaV1| {
        let mut processing = v1.tx_processing.to_vec();
        processing[1].result.transaction_hash = Hash([5; 32]);
        with_results(v1, processing);
    };
    refused(stranger, "transaction hashes under the network passphrase");
    let repeated = |v1: &mut LedgerCloseMetaV1| {
        let GeneralizedTransactionSet::V1(set) = &mut v1.tx_set;
        set.phases = vec![set.phases[0].clone(), set.phases[0].clone()].try_into().expect("two");
        v1.ledger_header.header.scp_value.tx_set_hash = sha(&v1.tx_set);
        reseal(v1);
    };
    refused(repeated, "each transaction once");
}

#[test]
fn another_networks_passphrase_is_told_from_a_stranger() {
    let decoder = Decoder::new("another network", HashMap::new(), 1 << 20);
    let ran = run_with(decoder, 7, 7, &[(7, 7, &xdr(&sound()))], true);
    assert_eq!(ran.error().fault.found, "none of 2 transaction hashes holds: the passphrase of another network?");
}

/// A successful invocation with one event under a protocol; its hash holds for the value 5.
fn invocation(protocol: u32, value: u32, meta_version: u32, fee_bump: bool) -> LedgerCloseMeta {
    let events: VecM<ContractEvent> = vec![event(1, ScVal::Void)].try_into().expect("one");
    let image = InvokeHostFunctionSuccessPreImage { return_value: ScVal::U32(5), events: events.clone() };
    let tr = OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(sha(&image)));
    let results: VecM<OperationResult> = vec![OperationResult::OpInner(tr)].try_into().expect("one");
    let meta = match meta_version {
        3 => TransactionMeta::V3(TransactionMetaV3 {
            soroban_meta: Some(SorobanTransactionMeta {
                events,
                return_value: ScVal::U32(value),
                ..Default::default()
            }),
            ..TransactionMetaV3::default()
        }),
        _ => TransactionMeta::V4(TransactionMetaV4 {
            operations: vec![OperationMetaV2 { events, ..OperationMetaV2::default() }].try_into().expect("one"),
            soroban_meta: Some(SorobanTransactionMetaV2 {
                return_value: Some(ScVal::U32(value)),
                ..Default::default()
            }),
            ..TransactionMetaV4::default()
        }),
    };
    let mut built = transaction(plain(1), vec![bump(None, 1)], meta);
    built.result = TransactionResultResult::TxSuccess(results.clone());
    if fee_bump {
        let result =
            InnerTransactionResult { result: InnerTransactionResultResult::TxSuccess(results), ..Default::default() };
        let pair = InnerTransactionResultPair { result, ..InnerTransactionResultPair::default() };
        built.result = TransactionResultResult::TxFeeBumpInnerSuccess(pair);
    }
    ledger(7, &PREVIOUS, Shape::Generalized, vec![built], |header| header.ledger_version = protocol)
}

#[test]
fn the_hash_of_an_invocations_events_is_an_error_from_protocol_23_and_counted_below() {
    for version in [3, 4] {
        for fee_bump in [false, true] {
            let decoded = |protocol, value| {
                let ledger = invocation(protocol, value, version, fee_bump);
                run(7, 7, &[(7, 7, &xdr(&ledger))], true).chunk
            };
            for protocol in [20, 22, 23, 26] {
                let sound = decoded(protocol, 5);
                assert_eq!((sound.error, sound.event_hash_mismatches), (None, 0));
            }
            let counted = decoded(22, 6);
            assert_eq!((counted.error, counted.event_hash_mismatches), (None, 1));
            let error = decoded(23, 6).error.expect("an error");
            assert!(error.fault.expected.starts_with("events of an invocation that hash to"), "{error}");
        }
    }
}

#[test]
fn a_successful_invocation_without_its_meta_is_no_proof() {
    let ledger = |protocol| {
        let LedgerCloseMeta::V1(mut v1) = invocation(protocol, 5, 4, false) else { panic!("built as V1") };
        let mut processing = v1.tx_processing.to_vec();
        processing[0].tx_apply_processing = TransactionMeta::V2(TransactionMetaV2::default());
        v1.tx_processing = processing.try_into().expect("one");
        run(7, 7, &[(7, 7, &xdr(&LedgerCloseMeta::V1(v1)))], true).chunk
    };
    assert_eq!(ledger(22).event_hash_mismatches, 1);
    assert!(ledger(23).error.is_some());
}

#[test]
fn ledgers_have_to_link() {
    let mut ledgers = chain(7, 4);
    ledgers[2] = chain(9, 1).remove(0);
    let bytes: Vec<Vec<u8>> = ledgers.iter().map(xdr).collect();
    let objects: Vec<(u32, u32, &[u8])> = (7..).zip(&bytes).map(|(seq, bytes)| (seq, seq, &bytes[..])).collect();
    let ran = run(7, 10, &objects, true);
    assert_eq!((ran.chunk.ledgers, ran.error().ledger, ran.error().fault.at), (2, 9, 44));
    assert!(ran.error().fault.expected.starts_with("previousLedgerHash "), "{}", ran.error());
    assert_eq!(ran.chunk.last_hash, Some(hash_of(&ledgers[1]).0));
}

#[test]
fn a_missing_ledger_is_named_with_the_one_that_was_found() {
    let bytes: Vec<Vec<u8>> = chain(7, 4).iter().map(xdr).collect();
    let wanted = "expected ledger 9, which is missing, found ledger 10: previousLedgerHash does not link to ledger 8";
    for declared in [9, 10] {
        let objects: [(u32, u32, &[u8]); 3] = [(7, 7, &bytes[0]), (8, 8, &bytes[1]), (declared, declared, &bytes[3])];
        let ran = run(7, declared, &objects, true);
        assert_eq!((ran.chunk.ledgers, ran.error().ledger), (2, declared));
        assert!(ran.error().to_string().ends_with(wanted), "{}", ran.error());
    }
}

#[test]
fn a_trusted_hash_is_held_against_the_ledger() {
    let ledger = sound();
    for (hash, holds) in [(hash_of(&ledger).0, true), ([0; 32], false)] {
        let decoder = Decoder::new(PASSPHRASE, HashMap::from([(7, hash)]), 1 << 20);
        let ran = run_with(decoder, 7, 7, &[(7, 7, &xdr(&ledger))], true);
        assert_eq!(ran.chunk.error.is_none(), holds);
        assert!(holds || ran.error().fault.expected.starts_with("the trusted hash 00"));
    }
}

#[test]
fn an_error_keeps_the_sound_ledgers_before_it_and_none_of_its_own_rows() {
    let mut ledgers: Vec<Vec<u8>> = chain(7, 3).iter().map(xdr).collect();
    let before = run(7, 8, &[(7, 7, &ledgers[0]), (8, 8, &ledgers[1])], true);
    let end = ledgers[2].len() - 1;
    ledgers[2].truncate(end);
    let objects: Vec<(u32, u32, &[u8])> = (7..).zip(&ledgers).map(|(seq, bytes)| (seq, seq, &bytes[..])).collect();
    let ran = run(7, 9, &objects, true);
    assert_eq!(ran.error().ledger, 9);
    assert!(ran.written == before.written);
    assert_eq!(ran.chunk.sections, before.chunk.sections);
}

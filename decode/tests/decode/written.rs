//! What no real ledger at hand shows, written by the typed encoder: old metas, muxed accounts, deep values, extremes.
use crate::built::*;
use crate::driver::run;
use crate::reference::Tables;
use _decode::cursor::MAX_DEPTH;
use _decode::prove::network_id;
use stellar_xdr::*;

/// Decodes one ledger and holds its rows against those of the typed values.
fn agrees(ledger: &LedgerCloseMeta) {
    let ran = run(7, 7, &[(7, 7, &xdr(ledger))], true);
    assert_eq!(ran.chunk.error, None);
    let mut tables = Tables::default();
    tables.start();
    tables.add(ledger, &network_id(PASSPHRASE)).expect("a sound ledger");
    tables.streams.iter_mut().for_each(|stream| stream.end());
    let wanted: Vec<u8> = tables.streams.iter().flat_map(|stream| stream.bytes().to_vec()).collect();
    assert_eq!(ran.written, wanted);
}

fn of(built: Vec<Built>) -> LedgerCloseMeta {
    ledger(7, &Hash([3; 32]), Shape::Generalized, built, |_| {})
}

fn changes() -> LedgerEntryChanges {
    let entry = LedgerEntry { last_modified_ledger_seq: 6, ..LedgerEntry::default() };
    let key = LedgerKey::Account(LedgerKeyAccount::default());
    let changes = vec![
        LedgerEntryChange::State(entry.clone()),
        LedgerEntryChange::Updated(entry),
        LedgerEntryChange::Removed(key),
    ];
    LedgerEntryChanges(changes.try_into().expect("three"))
}

fn operation_metas(count: usize) -> VecM<OperationMeta> {
    vec![OperationMeta { changes: changes() }; count].try_into().expect("few")
}

#[test]
fn meta_v0_and_v1_are_read() {
    let v0 = TransactionMeta::V0(operation_metas(2));
    let v1 = TransactionMeta::V1(TransactionMetaV1 { tx_changes: changes(), operations: operation_metas(1) });
    let built = vec![
        transaction(plain(1), vec![bump(None, 1), bump(Some(plain(9)), 2)], v0),
        transaction(plain(2), vec![bump(None, 3)], v1),
    ];
    agrees(&ledger(7, &Hash([3; 32]), Shape::Legacy, built, |header| header.ledger_version = 4));
}

#[test]
fn every_shape_of_transaction_set_is_read() {
    for shape in [Shape::Legacy, Shape::Generalized, Shape::Parallel] {
        let built =
            (1..6).map(|byte| transaction(plain(byte), vec![bump(None, 1)], TransactionMeta::V0(VecM::default())));
        agrees(&ledger(7, &Hash([3; 32]), shape, built.collect(), |_| {}));
    }
}

#[test]
fn every_kind_of_envelope_and_account_is_read() {
    let meta = || TransactionMeta::V0(VecM::default());
    let v0 =
        TransactionV0 { operations: vec![bump(Some(muxed(8, 5)), 1)].try_into().expect("one"), ..Default::default() };
    let v0 = TransactionEnvelope::TxV0(TransactionV0Envelope { tx: v0, ..Default::default() });
    let inner = transaction(muxed(4, u64::MAX), vec![bump(None, 1), bump(Some(muxed(5, 0)), 2)], meta());
    let TransactionEnvelope::Tx(inner) = inner.envelope else { unreachable!("built so") };
    let tx = FeeBumpTransaction {
        fee_source: muxed(6, 77),
        inner_tx: FeeBumpTransactionInnerTx::Tx(inner),
        ..FeeBumpTransaction::default()
    };
    let bumped = TransactionEnvelope::TxFeeBump(FeeBumpTransactionEnvelope { tx, ..Default::default() });
    let success = || TransactionResultResult::TxFeeBumpInnerSuccess(InnerTransactionResultPair::default());
    agrees(&of(vec![
        Built { envelope: v0, result: TransactionResultResult::TxBadSeq, meta: meta() },
        Built { envelope: bumped, result: success(), meta: meta() },
        transaction(muxed(1, 20_000), vec![bump(Some(muxed(2, 100_000_000)), 1)], meta()),
    ]));
}

#[test]
fn events_of_all_stages_and_operations_are_rows_and_diagnostics_are_none() {
    let own = |stage| TransactionEvent { stage, event: event(1, ScVal::Void) };
    let stages =
        [TransactionEventStage::BeforeAllTxs, TransactionEventStage::AfterTx, TransactionEventStage::AfterAllTxs];
    let diagnostic = DiagnosticEvent { in_successful_contract_call: true, event: event(3, ScVal::Void) };
    let operation = |count: u8| OperationMetaV2 {
        events: (0..count).map(|byte| event(byte, ScVal::U64(9))).collect::<Vec<_>>().try_into().expect("few"),
        ..OperationMetaV2::default()
    };
    let v4 = TransactionMeta::V4(TransactionMetaV4 {
        operations: vec![operation(2), operation(0), operation(3)].try_into().expect("three"),
        events: stages.map(own).to_vec().try_into().expect("three"),
        diagnostic_events: vec![diagnostic].try_into().expect("one"),
        ..TransactionMetaV4::default()
    });
    let mut nameless = event(4, ScVal::Void);
    nameless.contract_id = None;
    let soroban = SorobanTransactionMeta { events: vec![nameless].try_into().expect("one"), ..Default::default() };
    let v3 = TransactionMeta::V3(TransactionMetaV3 { soroban_meta: Some(soroban), ..TransactionMetaV3::default() });
    agrees(&of(vec![
        transaction(plain(1), vec![bump(None, 1), bump(None, 2), bump(None, 3)], v4),
        transaction(plain(2), vec![bump(None, 1)], v3),
    ]));
}

/// A vector in a vector in a vector; two levels of the schema each.
fn nested(levels: u32) -> ScVal {
    (1..levels).fold(ScVal::Void, |inner, _| ScVal::Vec(Some(ScVec(vec![inner].try_into().expect("one")))))
}

fn deep(levels: u32) -> LedgerCloseMeta {
    let operation = OperationMetaV2 {
        events: vec![event(1, nested(levels))].try_into().expect("one"),
        ..OperationMetaV2::default()
    };
    let meta =
        TransactionMetaV4 { operations: vec![operation].try_into().expect("one"), ..TransactionMetaV4::default() };
    of(vec![transaction(plain(1), vec![bump(None, 1)], TransactionMeta::V4(meta))])
}

/// An invocation that calls one that calls one; one level of the schema each.
fn invocations(levels: u32) -> LedgerCloseMeta {
    let call = |sub_invocations| SorobanAuthorizedInvocation {
        function: SorobanAuthorizedFunction::ContractFn(InvokeContractArgs {
            contract_address: ScAddress::Contract(ContractId::default()),
            ..InvokeContractArgs::default()
        }),
        sub_invocations,
    };
    let nested = (1..levels).fold(call(VecM::default()), |inner, _| call(vec![inner].try_into().expect("one")));
    let entry = SorobanAuthorizationEntry { credentials: SorobanCredentials::SourceAccount, root_invocation: nested };
    let body = OperationBody::InvokeHostFunction(InvokeHostFunctionOp {
        host_function: HostFunction::UploadContractWasm(BytesM::default()),
        auth: vec![entry].try_into().expect("one"),
    });
    let operation = Operation { source_account: None, body };
    of(vec![transaction(plain(1), vec![operation], TransactionMeta::V0(VecM::default()))])
}

#[test]
fn nesting_is_read_to_the_limit_on_a_small_stack_and_refused_beyond() {
    nesting(|| (xdr(&deep(MAX_DEPTH / 2)), xdr(&deep(MAX_DEPTH / 2 + 1))));
    nesting(|| (xdr(&invocations(MAX_DEPTH)), xdr(&invocations(MAX_DEPTH + 1))));
}

/// Takes a ledger that is as deep as allowed and one that is deeper.
fn nesting(make: fn() -> (Vec<u8>, Vec<u8>)) {
    let small = if cfg!(debug_assertions) { 16 << 20 } else { 512 << 10 };
    let (allowed, refused) = on_stack(256 << 20, make);
    let (sound, error) = on_stack(small, move || {
        let sound = run(7, 7, &[(7, 7, &allowed)], true).chunk;
        (sound.error, run(7, 7, &[(7, 7, &refused)], true).error().clone())
    });
    assert_eq!(sound, None);
    assert_eq!(error.fault.expected, "at most 1500 levels of nesting");
}

fn on_stack<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(bytes).spawn(work).expect("a thread").join().expect("no overflow")
}

#[test]
fn numbers_that_a_column_cannot_hold_are_refused() {
    let changed = |change: fn(&mut LedgerHeader)| {
        let ledger = ledger(7, &Hash([3; 32]), Shape::Generalized, vec![], change);
        let ran = run(7, 7, &[(7, 7, &xdr(&ledger))], true);
        assert!(ran.written.is_empty());
        ran.error().to_string()
    };
    let late = changed(|header| header.scp_value.close_time = TimePoint(u64::MAX));
    assert!(late.contains("ledger 7 in built at byte 108: expected a close time before the year 294277"), "{late}");
    let end = changed(|header| header.scp_value.close_time = TimePoint(9_224_318_016_000));
    assert!(end.contains("found 9224318016000"), "{end}");
    let protocol = changed(|header| header.ledger_version = 1 << 31);
    assert!(protocol.contains("at byte 40: expected a protocol up to 2147483647, found 2147483648"), "{protocol}");
}

#[test]
fn the_last_moment_of_a_timestamp_is_held() {
    let last = |header: &mut LedgerHeader| header.scp_value.close_time = TimePoint(9_224_318_015_999);
    agrees(&ledger(7, &Hash([3; 32]), Shape::Generalized, vec![], last));
}

#[test]
fn an_operation_beyond_a_toid_is_refused() {
    let mut operations = vec![OperationMetaV2::default(); 4096];
    operations[4095].events = vec![event(1, ScVal::Void)].try_into().expect("one");
    let meta = TransactionMetaV4 { operations: operations.try_into().expect("4096"), ..TransactionMetaV4::default() };
    let ledger = of(vec![transaction(plain(1), vec![], TransactionMeta::V4(meta))]);
    let ran = run(7, 7, &[(7, 7, &xdr(&ledger))], true);
    assert_eq!(ran.error().fault.expected, "at most 4095 operations a transaction");
}

/// The error of a ledger after one of its words, the only one with that value, was changed.
fn word_changed(ledger: &LedgerCloseMeta, from: u32, to: u32) -> (usize, _decode::fault::CorruptLedger) {
    let mut bytes = xdr(ledger);
    let places: Vec<usize> =
        (0..bytes.len()).step_by(4).filter(|at| bytes[*at..*at + 4] == from.to_be_bytes()).collect();
    assert_eq!(places.len(), 1, "the word stands once");
    bytes[places[0]..places[0] + 4].copy_from_slice(&to.to_be_bytes());
    (places[0], run(7, 7, &[(7, 7, &bytes)], true).error().clone())
}

#[test]
fn a_length_is_held_against_the_bytes_left_where_it_stands() {
    let nothing = transaction(plain(1), vec![bump(None, 1); 77], TransactionMeta::V0(VecM::default()));
    let ledger = of(vec![nothing]);
    let (at, error) = word_changed(&ledger, 77, 101);
    assert_eq!((error.fault.at, &error.fault.expected[..]), (at, "at most 100 elements"));
    let mut signed = transaction(plain(1), vec![], TransactionMeta::V0(VecM::default()));
    let TransactionEnvelope::Tx(envelope) = &mut signed.envelope else { unreachable!("built so") };
    envelope.signatures = vec![DecoratedSignature::default(); 19].try_into().expect("up to 20");
    let (at, error) = word_changed(&of(vec![signed]), 19, 21);
    assert_eq!((error.fault.at, &error.fault.expected[..]), (at, "at most 20 elements"));
    let metas = TransactionMeta::V0(vec![OperationMeta::default(); 99].try_into().expect("few"));
    let ledger = of(vec![transaction(plain(1), vec![bump(None, 1)], metas)]);
    let (at, error) = word_changed(&ledger, 99, u32::MAX);
    assert_eq!(error.fault.at, at);
    assert!(error.fault.expected.ends_with("elements in the bytes left"), "{error}");
}

#[test]
fn a_boolean_is_0_or_1_and_nothing_else() {
    let marked = DiagnosticEvent { in_successful_contract_call: true, event: event(3, ScVal::Bool(true)) };
    let meta = TransactionMetaV4 { diagnostic_events: vec![marked].try_into().expect("one"), ..Default::default() };
    let ledger = of(vec![transaction(plain(1), vec![bump(None, 5)], TransactionMeta::V4(meta))]);
    let bytes = xdr(&ledger);
    assert_eq!(run(7, 7, &[(7, 7, &bytes)], true).chunk.error, None);
    let ones = (3..bytes.len()).step_by(4).filter(|at| bytes[*at] == 1);
    let mut refused = Vec::new();
    for at in ones {
        let mut changed = bytes.clone();
        changed[at] = 2;
        let typed = LedgerCloseMeta::from_xdr(&changed, Limits::none());
        let canonical = typed.is_ok_and(|typed| xdr(&typed) == changed);
        let walked = _decode::walk::walk(&changed, &mut _decode::ledger::Ledger::default());
        assert_eq!(walked.is_ok(), canonical, "a 2 at byte {at}");
        refused.extend(walked.err().map(|fault| fault.expected));
    }
    assert_eq!(refused.iter().filter(|expected| *expected == "a boolean, 0 or 1").count(), 2);
}

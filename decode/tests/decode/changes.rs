//! Codes and instances of contracts in ledger entry changes: the walk notes just those, wherever they are.
use crate::built::xdr;
use crate::contracts::{STATE, UPDATED, runs};
use crate::files::real;
use _decode::ledger::Ledger;
use _decode::walk::walk;
use stellar_xdr::*;

/// All changes of a ledger in the order of its meta.
fn changes_of(lcm: &LedgerCloseMeta) -> Vec<&LedgerEntryChange> {
    let mut out: Vec<&LedgerEntryChanges> = Vec::new();
    let upgrades = match lcm {
        LedgerCloseMeta::V0(v) => {
            v.tx_processing.iter().for_each(|tx| of_transaction(&tx.fee_processing, &tx.tx_apply_processing, &mut out));
            &v.upgrades_processing
        }
        LedgerCloseMeta::V1(v) => {
            v.tx_processing.iter().for_each(|tx| of_transaction(&tx.fee_processing, &tx.tx_apply_processing, &mut out));
            &v.upgrades_processing
        }
        LedgerCloseMeta::V2(v) => {
            for tx in v.tx_processing.iter() {
                of_transaction(&tx.fee_processing, &tx.tx_apply_processing, &mut out);
                out.push(&tx.post_tx_apply_fee_processing);
            }
            &v.upgrades_processing
        }
    };
    out.extend(upgrades.iter().map(|upgrade| &upgrade.changes));
    out.into_iter().flat_map(|changes| changes.0.iter()).collect()
}

fn of_transaction<'a>(fee: &'a LedgerEntryChanges, meta: &'a TransactionMeta, out: &mut Vec<&'a LedgerEntryChanges>) {
    out.push(fee);
    match meta {
        TransactionMeta::V0(operations) => out.extend(operations.iter().map(|one| &one.changes)),
        TransactionMeta::V1(v) => {
            out.push(&v.tx_changes);
            out.extend(v.operations.iter().map(|one| &one.changes));
        }
        TransactionMeta::V2(v) => {
            out.push(&v.tx_changes_before);
            out.extend(v.operations.iter().map(|one| &one.changes));
            out.push(&v.tx_changes_after);
        }
        TransactionMeta::V3(v) => {
            out.push(&v.tx_changes_before);
            out.extend(v.operations.iter().map(|one| &one.changes));
            out.push(&v.tx_changes_after);
        }
        TransactionMeta::V4(v) => {
            out.push(&v.tx_changes_before);
            out.extend(v.operations.iter().map(|one| &one.changes));
            out.push(&v.tx_changes_after);
        }
    }
}

/// The entry of a change where it is a contract's code or instance, and whether it is what was before.
fn noted(change: &LedgerEntryChange) -> Option<(bool, Vec<u8>)> {
    let (is_state, entry) = match change {
        LedgerEntryChange::State(entry) => (true, entry),
        LedgerEntryChange::Created(entry) | LedgerEntryChange::Updated(entry) | LedgerEntryChange::Restored(entry) => {
            (false, entry)
        }
        LedgerEntryChange::Removed(_) => return None,
    };
    let wanted = match &entry.data {
        LedgerEntryData::ContractCode(_) => true,
        LedgerEntryData::ContractData(data) => {
            data.key == ScVal::LedgerKeyContractInstance
                && matches!(data.contract, ScAddress::Contract(_))
                && matches!(data.val, ScVal::ContractInstance(_))
        }
        _ => false,
    };
    wanted.then(|| (is_state, xdr(entry)))
}

#[test]
fn what_is_noted_of_every_real_ledger_is_what_the_typed_decoder_finds() {
    let (mut ledger, mut total) = (Ledger::default(), 0);
    for file in real() {
        let lcm = LedgerCloseMeta::from_xdr(&file.bytes, Limits { depth: 10_000, len: file.bytes.len() });
        walk(&file.bytes, &mut ledger).expect("a sound ledger");
        let found: Vec<_> =
            ledger.contract_entries.iter().map(|entry| (entry.is_state, entry.span.of(&file.bytes).to_vec())).collect();
        let wanted: Vec<_> = changes_of(&lcm.expect("a sound ledger")).into_iter().filter_map(noted).collect();
        assert!(found == wanted, "{}: {} noted, {} there", file.file, found.len(), wanted.len());
        total += found.len();
    }
    assert!(total > 300 || real().is_empty(), "{total}");
}

/// Holds what the walk notes against what the typed decoder finds; returns how much it is.
fn agrees(bytes: &[u8], name: &str, ledger: &mut Ledger) -> usize {
    let lcm = LedgerCloseMeta::from_xdr(bytes, Limits { depth: 10_000, len: bytes.len() }).expect("a sound ledger");
    walk(bytes, ledger).expect("a sound ledger");
    let entries = ledger.contract_entries.iter();
    let found: Vec<_> = entries.map(|entry| (entry.is_state, entry.span.of(bytes).to_vec())).collect();
    let wanted: Vec<_> = changes_of(&lcm).into_iter().filter_map(noted).collect();
    assert!(found == wanted, "{name}: {} noted, {} there", found.len(), wanted.len());
    found.len()
}

#[test]
fn all_places_that_changes_have_are_looked_at() {
    let mut next = 0;
    let mut one = || {
        next += 1;
        LedgerEntryChanges(vec![STATE(runs(next, 5)), UPDATED(runs(next, 6))].try_into().expect("two"))
    };
    let v1 = vec![OperationMeta { changes: one() }, OperationMeta { changes: one() }];
    let v4 = vec![OperationMetaV2 { changes: one(), ..Default::default() }];
    let (v1, v4) = (VecM::try_from(v1).expect("two"), v4.try_into().expect("one"));
    let [v0, v2, v3] = [v1.clone(), v1.clone(), v1.clone()];
    let metas = [
        TransactionMeta::V0(v0),
        TransactionMeta::V1(TransactionMetaV1 { tx_changes: one(), operations: v1 }),
        TransactionMeta::V2(TransactionMetaV2 { tx_changes_before: one(), operations: v2, tx_changes_after: one() }),
        TransactionMeta::V3(TransactionMetaV3 {
            tx_changes_before: one(),
            operations: v3,
            tx_changes_after: one(),
            ..Default::default()
        }),
        TransactionMeta::V4(TransactionMetaV4 {
            tx_changes_before: one(),
            operations: v4,
            tx_changes_after: one(),
            ..Default::default()
        }),
    ];
    let tx_processing = metas.map(|tx_apply_processing| TransactionResultMetaV1 {
        fee_processing: one(),
        tx_apply_processing,
        post_tx_apply_fee_processing: one(),
        ..Default::default()
    });
    let upgrades_processing = vec![UpgradeEntryMeta { changes: one(), ..Default::default() }];
    let ledger = LedgerCloseMeta::V2(LedgerCloseMetaV2 {
        tx_processing: tx_processing.to_vec().try_into().expect("five"),
        upgrades_processing: upgrades_processing.try_into().expect("one"),
        ..Default::default()
    });
    // 2 operations in each of four metas and 1 in the last, 1 + 3 × 2 around them, 2 × 5 fees, 1 upgrade; 2 changes each
    assert_eq!(agrees(&xdr(&ledger), "built", &mut Ledger::default()), 2 * (4 * 2 + 1 + 7 + 10 + 1));
}

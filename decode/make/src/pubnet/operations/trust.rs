//! Trust lines: someone starts to hold an asset.
use stellar_xdr::{
    Asset, ChangeTrustAsset, ChangeTrustOp, ChangeTrustResult, LedgerEntry, LedgerEntryChange, LedgerEntryData,
    LedgerEntryExt, OperationBody, OperationResultTr, TrustLineEntry, TrustLineEntryExt,
};

use super::{Bench, Step};

pub fn steps(bench: &mut Bench) -> Vec<Step> {
    (0..bench.party.intent.operations).map(|_| step(bench)).collect()
}

fn step(bench: &mut Bench) -> Step {
    let coin = &bench.world.coins[bench.any_coin(0)];
    let line = match coin.asset.clone() {
        Asset::Native => ChangeTrustAsset::Native,
        Asset::CreditAlphanum4(a) => ChangeTrustAsset::CreditAlphanum4(a),
        Asset::CreditAlphanum12(a) => ChangeTrustAsset::CreditAlphanum12(a),
    };
    let body = OperationBody::ChangeTrust(ChangeTrustOp { line, limit: i64::MAX });
    let mut step = Step::new(None, body, OperationResultTr::ChangeTrust(ChangeTrustResult::Success));
    let entry = TrustLineEntry {
        account_id: bench.world.account(bench.party.source),
        asset: coin.line.clone(),
        balance: 0,
        limit: i64::MAX,
        flags: 1,
        ext: TrustLineEntryExt::V0,
    };
    step.changes.push(LedgerEntryChange::Created(LedgerEntry {
        last_modified_ledger_seq: bench.sequence,
        data: LedgerEntryData::Trustline(entry),
        ext: LedgerEntryExt::V0,
    }));
    bench.state.account(bench.party.source, &mut step.changes, |account| account.num_sub_entries += 1);
    step
}

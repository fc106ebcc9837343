//! Claimable balances: payouts to people who need not hold the asset yet.
use stellar_xdr::{
    ClaimPredicate, ClaimableBalanceEntry, ClaimableBalanceEntryExt, ClaimableBalanceId, Claimant, ClaimantV0,
    CreateClaimableBalanceOp, CreateClaimableBalanceResult, HashIdPreimage, HashIdPreimageOperationId, LedgerEntry,
    LedgerEntryChange, LedgerEntryData, LedgerEntryExt, LedgerEntryExtensionV1, LedgerEntryExtensionV1Ext,
    OperationBody, OperationResultTr, ScAddress, SequenceNumber, SponsorshipDescriptor,
};

use super::{Bench, Step};
use crate::pubnet::{entries, events};
use crate::xdr::{account_id, hash_of, i128_value, list};

const WEEK_S: i64 = 604_800;

pub fn steps(bench: &mut Bench) -> Vec<Step> {
    let coin = bench.any_coin(0);
    let amount = bench.random.amount();
    (0..bench.party.intent.operations).map(|number| step(bench, number, coin, amount)).collect()
}

fn step(bench: &mut Bench, number: usize, coin: usize, amount: i64) -> Step {
    let asset = bench.world.coins[coin].asset.clone();
    let op = CreateClaimableBalanceOp { asset, amount, claimants: list(claimants(bench)) };
    let body = OperationBody::CreateClaimableBalance(op.clone());
    let source = bench.spelled_out();
    let ended = OperationResultTr::CreateClaimableBalance;
    if !bench.party.intent.successful {
        return Step::new(source, body, ended(CreateClaimableBalanceResult::NoTrust));
    }
    let id = balance_id(bench, number);
    let mut step = Step::new(source, body, ended(CreateClaimableBalanceResult::Success(id.clone())));
    bench.state.account(bench.party.source, &mut step.changes, |account| account.num_sub_entries += 1);
    bench.state.credit(bench.party.source, coin, -amount, &mut step.changes);
    step.changes.push(LedgerEntryChange::Created(entry(bench, &id, op)));
    let from = ScAddress::Account(bench.world.account(bench.party.source));
    let to = ScAddress::ClaimableBalance(id);
    step.events.push(events::transfer(bench.world, coin, from, to, i128_value(amount)));
    step
}

/// Someone new for some days, then the sender again.
fn claimants(bench: &mut Bench) -> Vec<Claimant> {
    let until = entries::close_time(bench.sequence) as i64 / WEEK_S * WEEK_S + 2 * WEEK_S;
    let claimant = |destination, predicate| Claimant::ClaimantTypeV0(ClaimantV0 { destination, predicate });
    let late = ClaimPredicate::Not(Some(Box::new(ClaimPredicate::BeforeAbsoluteTime(until))));
    vec![
        claimant(account_id(bench.random.bytes()), ClaimPredicate::BeforeAbsoluteTime(until)),
        claimant(bench.world.account(bench.party.source), late),
    ]
}

fn balance_id(bench: &Bench, number: usize) -> ClaimableBalanceId {
    let preimage = HashIdPreimage::OpId(HashIdPreimageOperationId {
        source_account: bench.world.account(bench.party.source),
        seq_num: SequenceNumber(bench.party.sequence),
        op_num: number as u32,
    });
    ClaimableBalanceId::ClaimableBalanceIdTypeV0(hash_of(&preimage))
}

fn entry(bench: &Bench, id: &ClaimableBalanceId, op: CreateClaimableBalanceOp) -> LedgerEntry {
    let data = ClaimableBalanceEntry {
        balance_id: id.clone(),
        claimants: op.claimants,
        asset: op.asset,
        amount: op.amount,
        ext: ClaimableBalanceEntryExt::V0,
    };
    let sponsor = LedgerEntryExtensionV1 {
        sponsoring_id: SponsorshipDescriptor(Some(bench.world.account(bench.party.source))),
        ext: LedgerEntryExtensionV1Ext::V0,
    };
    LedgerEntry {
        last_modified_ledger_seq: bench.sequence,
        data: LedgerEntryData::ClaimableBalance(data),
        ext: LedgerEntryExt::V1(sponsor),
    }
}

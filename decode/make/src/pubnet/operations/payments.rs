//! Payments: single ones between people, and payouts to many at once.
use stellar_xdr::{MuxedAccount, OperationBody, OperationResultTr, PaymentOp, PaymentResult, ScAddress};

use super::{Bench, Step, muxed};
use crate::pubnet::events;
use crate::world::{HOLDERS, Who};
use crate::xdr::account_id;

pub fn steps(bench: &mut Bench) -> Vec<Step> {
    let coin = bench.any_coin(25);
    let amount = bench.random.amount();
    (0..bench.party.intent.operations).map(|_| payment(bench, coin, amount)).collect()
}

fn payment(bench: &mut Bench, coin: usize, usual: i64) -> Step {
    let to = HOLDERS.start + bench.random.below(HOLDERS.len() as u64) as Who;
    // A payout gives many the same.
    let amount = if bench.random.chance(60) { usual } else { bench.random.amount() };
    let id = bench.random.chance(6).then(|| bench.random.below(1 << 32));
    let issuer = bench.world.coins[coin].issuer.filter(|_| bench.random.chance(8));
    let minted = bench.random.chance(60);
    let (from, to) = match issuer {
        Some(issuer) if minted => (issuer, to),
        Some(issuer) => (bench.party.source, issuer),
        None => (bench.party.source, to),
    };
    let source =
        if from == bench.party.source { bench.spelled_out() } else { Some(muxed(bench.world.key(from), None)) };
    let destination = muxed(bench.world.key(to), id);
    step(bench, coin, amount, (source, from), (destination, to))
}

fn step(
    bench: &mut Bench,
    coin: usize,
    amount: i64,
    (source, from): (Option<MuxedAccount>, Who),
    (destination, to): (MuxedAccount, Who),
) -> Step {
    let id = if let MuxedAccount::MuxedEd25519(muxed) = &destination { Some(muxed.id) } else { None };
    let asset = bench.world.coins[coin].asset.clone();
    let body = OperationBody::Payment(PaymentOp { destination, asset, amount });
    if !bench.party.intent.successful {
        return Step::new(source, body, OperationResultTr::Payment(PaymentResult::NoTrust));
    }
    let mut step = Step::new(source, body, OperationResultTr::Payment(PaymentResult::Success));
    bench.state.credit(from, coin, -amount, &mut step.changes);
    bench.state.credit(to, coin, amount, &mut step.changes);
    let address = |who| ScAddress::Account(account_id(bench.world.key(who)));
    let data = events::amount(amount, id, &bench.party.memo);
    step.events.push(events::transfer(bench.world, coin, address(from), address(to), data));
    step
}

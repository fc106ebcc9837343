//! Path payments: bots that pay themselves through a pool when a price is off, and mostly come too late.
use stellar_xdr::{
    AccountId, Asset, ClaimAtom, ClaimLiquidityAtom, OperationBody, OperationResultTr, PathPaymentStrictReceiveOp,
    PathPaymentStrictReceiveResult, PathPaymentStrictReceiveResultSuccess, PathPaymentStrictSendOp,
    PathPaymentStrictSendResult, PathPaymentStrictSendResultSuccess, ScAddress, SimplePaymentResult,
};

use super::{Bench, Step, muxed};
use crate::pubnet::events;
use crate::xdr::{i128_value, list};

/// What goes in, what comes out, and through which pool.
struct Trade {
    pool: usize,
    paid: i64,
    taken: i64,
}

/// `send`: the amount sent is strict; otherwise the amount received is.
pub fn steps(bench: &mut Bench, send: bool) -> Vec<Step> {
    (0..bench.party.intent.operations).map(|_| step(bench, send)).collect()
}

fn step(bench: &mut Bench, send: bool) -> Step {
    let pool = bench.random.below(bench.world.pools.len() as u64) as usize;
    let (paid, taken) = (bench.random.amount(), bench.random.amount());
    let trade = Trade { pool, paid, taken };
    let body = body(bench, &trade, send);
    let result = if bench.party.intent.successful { won(bench, &trade, send) } else { lost(send) };
    let source = bench.spelled_out();
    let mut step = Step::new(source, body, result);
    if bench.party.intent.successful {
        settle(bench, &trade, &mut step);
    }
    step
}

fn body(bench: &mut Bench, trade: &Trade, send: bool) -> OperationBody {
    let pool = &bench.world.pools[trade.pool];
    let (send_asset, dest_asset) = (pool.params.asset_a.clone(), pool.params.asset_b.clone());
    // Who trades through one pool needs no path; a failed one may ask for any.
    let hops = if bench.party.intent.successful { 0 } else { 1 + bench.random.below(4) };
    let world = bench.world;
    let path: Vec<Asset> = (0..hops).map(|_| world.coins[bench.any_coin(20)].asset.clone()).collect();
    let (destination, path) = (muxed(bench.world.key(bench.party.source), None), list(path));
    let (send_amount, dest_amount) = (trade.paid, trade.taken);
    if send {
        let dest_min = dest_amount;
        let op = PathPaymentStrictSendOp { send_asset, send_amount, destination, dest_asset, dest_min, path };
        return OperationBody::PathPaymentStrictSend(op);
    }
    let send_max = send_amount;
    let op = PathPaymentStrictReceiveOp { send_asset, send_max, destination, dest_asset, dest_amount, path };
    OperationBody::PathPaymentStrictReceive(op)
}

fn lost(send: bool) -> OperationResultTr {
    if send {
        return OperationResultTr::PathPaymentStrictSend(PathPaymentStrictSendResult::UnderDestmin);
    }
    OperationResultTr::PathPaymentStrictReceive(PathPaymentStrictReceiveResult::OverSendmax)
}

fn won(bench: &Bench, trade: &Trade, send: bool) -> OperationResultTr {
    let pool = &bench.world.pools[trade.pool];
    let atom = ClaimAtom::LiquidityPool(ClaimLiquidityAtom {
        liquidity_pool_id: pool.id.clone(),
        asset_sold: pool.params.asset_b.clone(),
        amount_sold: trade.taken,
        asset_bought: pool.params.asset_a.clone(),
        amount_bought: trade.paid,
    });
    let destination: AccountId = bench.world.account(bench.party.source);
    let (offers, asset) = (list(vec![atom]), pool.params.asset_b.clone());
    let last = SimplePaymentResult { destination, asset, amount: trade.taken };
    if send {
        let success = PathPaymentStrictSendResultSuccess { offers, last };
        return OperationResultTr::PathPaymentStrictSend(PathPaymentStrictSendResult::Success(success));
    }
    let success = PathPaymentStrictReceiveResultSuccess { offers, last };
    OperationResultTr::PathPaymentStrictReceive(PathPaymentStrictReceiveResult::Success(success))
}

fn settle(bench: &mut Bench, trade: &Trade, step: &mut Step) {
    let world = bench.world;
    let pool = &world.pools[trade.pool];
    bench.state.credit(bench.party.source, pool.a, -trade.paid, &mut step.changes);
    bench.state.swap(trade.pool, trade.paid, trade.taken, &mut step.changes);
    bench.state.credit(bench.party.source, pool.b, trade.taken, &mut step.changes);
    let trader = ScAddress::Account(world.account(bench.party.source));
    let counterpart = ScAddress::LiquidityPool(pool.id.clone());
    let (paid, taken) = (i128_value(trade.paid), i128_value(trade.taken));
    step.events.push(events::transfer(world, pool.a, trader.clone(), counterpart.clone(), paid));
    step.events.push(events::transfer(world, pool.b, counterpart, trader, taken));
}

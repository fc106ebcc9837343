//! Offers: market makers who move their ladders, and now and then make or take back an offer.
use stellar_xdr::{
    LedgerEntry, LedgerEntryChange, LedgerEntryData, LedgerEntryExt, ManageBuyOfferOp, ManageBuyOfferResult,
    ManageOfferSuccessResult, ManageOfferSuccessResultOffer, ManageSellOfferOp, ManageSellOfferResult, OfferEntry,
    OperationBody, OperationResultTr, TrustLineEntryExt,
};

use super::{Bench, Step};
use crate::pubnet::entries::{self, price};
use crate::pubnet::state::{Changes, Key};
use crate::xdr::list;

/// Places in a ladder that are only moved; the ones above are taken back.
const LADDER: u32 = 12;
/// Ids that a ledger can give to new offers.
pub const IDS: i64 = 1000;

enum Move {
    Update,
    Create,
    Delete,
}

pub fn steps(bench: &mut Bench) -> Vec<Step> {
    (0..bench.party.intent.operations as u32).map(|number| step(bench, number)).collect()
}

fn step(bench: &mut Bench, number: u32) -> Step {
    let how = match bench.random.below(100) {
        0..=4 => Move::Create,
        5..=15 if number < 3 => Move::Delete,
        _ => Move::Update,
    };
    let slot = if matches!(how, Move::Delete) { LADDER + number } else { number % LADDER };
    let mut offer = bench.state.offer_now(bench.party.source, slot);
    if !matches!(how, Move::Delete) {
        (offer.amount, offer.price) = (bench.random.amount(), price(bench.random));
    }
    let mut changes = Changes::new();
    let ended =
        if bench.party.intent.successful { Some(settle(bench, &how, slot, &mut offer, &mut changes)) } else { None };
    let buys = bench.random.chance(39);
    let (body, result) = if buys { buy(&how, &offer, ended) } else { sell(&how, &offer, ended) };
    let source = bench.spelled_out();
    Step { changes, ..Step::new(source, body, result) }
}

/// Change the offer, and what its maker owes to both of its sides.
fn settle(
    bench: &mut Bench,
    how: &Move,
    slot: u32,
    offer: &mut OfferEntry,
    changes: &mut Changes,
) -> ManageOfferSuccessResultOffer {
    let (selling, buying) = entries::market(bench.world, bench.party.source, slot);
    owe(bench, selling, (0, offer.amount), changes);
    owe(bench, buying, (offer.amount / 2, 0), changes);
    match how {
        Move::Update => {
            let wanted = offer.clone();
            let edit = |entry: &mut OfferEntry| (entry.amount, entry.price) = (wanted.amount, wanted.price);
            ManageOfferSuccessResultOffer::Updated(bench.state.offer(bench.party.source, slot, changes, edit))
        }
        Move::Create => {
            offer.offer_id = i64::from(bench.sequence) * IDS + *bench.offers;
            *bench.offers += 1;
            changes.push(LedgerEntryChange::Created(LedgerEntry {
                last_modified_ledger_seq: bench.sequence,
                data: LedgerEntryData::Offer(offer.clone()),
                ext: LedgerEntryExt::V0,
            }));
            ManageOfferSuccessResultOffer::Created(offer.clone())
        }
        Move::Delete => {
            let entry = bench.state.get(Key::Offer(bench.party.source, slot)).clone();
            let key = entry.to_key();
            changes.extend([LedgerEntryChange::State(entry), LedgerEntryChange::Removed(key)]);
            ManageOfferSuccessResultOffer::Deleted
        }
    }
}

fn owe(bench: &mut Bench, coin: usize, (buying, selling): (i64, i64), changes: &mut Changes) {
    if bench.world.coins[coin].issuer.is_none() {
        return bench.state.account(bench.party.source, changes, |account| {
            if let stellar_xdr::AccountEntryExt::V1(v1) = &mut account.ext {
                (v1.liabilities.buying, v1.liabilities.selling) = (buying, selling);
            }
        });
    }
    bench.state.line(bench.party.source, coin, changes, |line| {
        if let TrustLineEntryExt::V1(v1) = &mut line.ext {
            (v1.liabilities.buying, v1.liabilities.selling) = (buying, selling);
        }
    });
}

/// The id in the operation: 0 asks for a new offer.
fn asked_id(how: &Move, offer: &OfferEntry) -> i64 {
    if matches!(how, Move::Create) { 0 } else { offer.offer_id }
}

fn asked_amount(how: &Move, offer: &OfferEntry) -> i64 {
    if matches!(how, Move::Delete) { 0 } else { offer.amount }
}

fn success(offer: ManageOfferSuccessResultOffer) -> ManageOfferSuccessResult {
    ManageOfferSuccessResult { offers_claimed: list(Vec::new()), offer }
}

type Ended = Option<ManageOfferSuccessResultOffer>;

fn sell(how: &Move, offer: &OfferEntry, ended: Ended) -> (OperationBody, OperationResultTr) {
    let op = ManageSellOfferOp {
        selling: offer.selling.clone(),
        buying: offer.buying.clone(),
        amount: asked_amount(how, offer),
        price: offer.price.clone(),
        offer_id: asked_id(how, offer),
    };
    let success = |offer| ManageSellOfferResult::Success(success(offer));
    let result = ended.map_or(ManageSellOfferResult::LowReserve, success);
    (OperationBody::ManageSellOffer(op), OperationResultTr::ManageSellOffer(result))
}

fn buy(how: &Move, offer: &OfferEntry, ended: Ended) -> (OperationBody, OperationResultTr) {
    let op = ManageBuyOfferOp {
        selling: offer.selling.clone(),
        buying: offer.buying.clone(),
        buy_amount: asked_amount(how, offer),
        price: offer.price.clone(),
        offer_id: asked_id(how, offer),
    };
    let success = |offer| ManageBuyOfferResult::Success(success(offer));
    let result = ended.map_or(ManageBuyOfferResult::LowReserve, success);
    (OperationBody::ManageBuyOffer(op), OperationResultTr::ManageBuyOffer(result))
}

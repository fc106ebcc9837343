//! Token events as the network emits them for classic operations and fees (CAP-67).
use stellar_xdr::{
    ContractEvent, ContractEventBody, ContractEventType, ContractEventV0, ContractId, ExtensionPoint, Memo, ScAddress,
    ScString, ScVal, TransactionEvent, TransactionEventStage,
};

use crate::world::{Who, World};
use crate::xdr::{account_address, account_id, i128_value, list, map, symbol};

pub fn event(
    type_: ContractEventType,
    contract: Option<&ContractId>,
    topics: Vec<ScVal>,
    data: ScVal,
) -> ContractEvent {
    let body = ContractEventBody::V0(ContractEventV0 { topics: list(topics), data });
    ContractEvent { ext: ExtensionPoint::V0, contract_id: contract.cloned(), type_, body }
}

/// `transfer`, or `mint` and `burn` where the issuer is one of the two sides.
pub fn transfer(world: &World, coin: usize, from: ScAddress, to: ScAddress, data: ScVal) -> ContractEvent {
    let coin = &world.coins[coin];
    let issuer = coin.issuer.map(|who| ScAddress::Account(account_id(world.key(who))));
    let (from_issuer, to_issuer) = (issuer.as_ref() == Some(&from), issuer.as_ref() == Some(&to));
    let (from, to) = (ScVal::Address(from), ScVal::Address(to));
    let mut topics = match (from_issuer, to_issuer) {
        (true, _) => vec![symbol("mint"), to],
        (_, true) => vec![symbol("burn"), from],
        _ => vec![symbol("transfer"), from, to],
    };
    topics.push(coin.name.clone());
    event(ContractEventType::Contract, Some(&coin.contract), topics, data)
}

/// An amount alone, or with the id that tells a custodian whose it is: a muxed destination's, else the memo.
pub fn amount(amount: i64, muxed: Option<u64>, memo: &Memo) -> ScVal {
    let id = match (muxed, memo) {
        (Some(id), _) => ScVal::U64(id),
        (None, Memo::Id(id)) => ScVal::U64(*id),
        (None, Memo::Text(text)) => ScVal::String(ScString(text.to_vec().try_into().expect("28 bytes or less"))),
        _ => return i128_value(amount),
    };
    map(vec![("amount", i128_value(amount)), ("to_muxed_id", id)])
}

/// `fee`; a refund after all transactions has a negative amount.
pub fn fee(world: &World, payer: Who, amount: i64) -> TransactionEvent {
    let native = &world.coins[0].contract;
    let topics = vec![symbol("fee"), account_address(world.key(payer))];
    let event = event(ContractEventType::Contract, Some(native), topics, i128_value(amount));
    let refund = amount < 0;
    let stage = if refund { TransactionEventStage::AfterAllTxs } else { TransactionEventStage::BeforeAllTxs };
    TransactionEvent { stage, event }
}

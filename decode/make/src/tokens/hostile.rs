//! Events that look like a token's and are none: they change nothing, whoever emits them.
use stellar_xdr::{ContractEventType, ScBytes, ScString, ScVal};

use crate::tokens::voice::{Voice, i128_wide};
use crate::xdr::{map, symbol, vec};

/// One such event.
pub fn tell(voice: &mut Voice) {
    let (from, to) = (voice.anyone(), voice.anyone());
    let amount = i128_wide(voice.random.amount().into());
    let who = [ScVal::Address(from.clone()), ScVal::Address(to.clone())];
    let transfer = |more: Vec<ScVal>| [&[symbol("transfer"), who[0].clone(), who[1].clone()], &more[..]].concat();
    let own = voice.asset.clone();
    let kind = ContractEventType::Contract;
    match voice.random.below(12) {
        0 => voice.say("transfer", &[&from, &to], i128_wide(-1)),
        1 => voice.say("mint", &[&to], i128_wide(i128::MIN)),
        2 => voice.say("transfer", &[&from, &to], ScVal::Bool(true)),
        3 => voice.say("mint", &[&from, &to, &from], amount),
        4 => voice.say("transfer", &[&from, &to], map(vec![("amounts", amount)])),
        5 => voice.say("fee", &[&from], amount),
        6 => voice.say("approve", &[&from, &to], vec(vec![amount, ScVal::U64(7)])),
        7 => voice.say("mint", &[&to], map(vec![("amount", amount), ("to_muxed_id", ScVal::Bool(true))])),
        8 => {
            let foreign = voice.random.below(voice.world.coins.len() as u64) as usize;
            let foreign = voice.world.coins[foreign].name.clone();
            let foreign = if own.as_ref() == Some(&foreign) { text("XLM") } else { foreign };
            voice.emit(kind, transfer(vec![foreign]), amount);
        }
        9 => voice.emit(ContractEventType::System, transfer(own.into_iter().collect()), amount),
        10 => voice.emit(kind, [vec![text("transfer")], who.to_vec()].concat(), amount),
        _ => {
            let bytes = ScVal::Bytes(ScBytes(vec![7; 32].try_into().expect("32 bytes")));
            let topics = [vec![symbol("burn"), bytes], own.into_iter().collect()].concat();
            voice.emit(kind, topics, amount);
        }
    }
}

/// What the other protocol would tell: nothing to this one.
pub fn of_the_other(voice: &mut Voice) {
    let (from, to) = (voice.anyone(), voice.anyone());
    let amount = i128_wide(voice.random.amount().into());
    let data = if voice.protocol == Some("SEP50") { amount } else { ScVal::U32(voice.random.next() as u32) };
    voice.say("transfer", &[&from, &to], data);
}

fn text(text: &str) -> ScVal {
    ScVal::String(ScString(text.try_into().expect("a short text")))
}

//! What fungible tokens tell (SEP-41, CAP-67): every shape that the standard or its older versions give.
use stellar_xdr::{ScAddress, ScBytes, ScString, ScVal};

use crate::books::Entry;
use crate::tokens::voice::{Voice, i128_wide};
use crate::xdr::{map, vec};

const ID: &str = "SEP41";

/// One event.
pub fn tell(voice: &mut Voice) {
    match voice.random.below(14) {
        0..4 => transfer(voice),
        4..7 => mint(voice),
        7..9 => destroy(voice, "burn", false),
        9 => {
            let admin = voice.random.chance(50);
            destroy(voice, "clawback", admin);
        }
        10..12 => approve(voice),
        12 => authorize(voice),
        _ => {
            let (old, new) = (voice.anyone(), voice.anyone());
            voice.say("set_admin", &[&old], ScVal::Address(new));
        }
    }
}

fn transfer(voice: &mut Voice) {
    let (from, to, amount) = (voice.anyone(), voice.anyone(), voice.amount());
    let data = received(voice, amount);
    voice.say("transfer", &[&from, &to], data);
    moved(voice, from, -amount);
    moved(voice, to, amount);
}

fn mint(voice: &mut Voice) {
    let (admin, to, amount) = (voice.anyone(), voice.anyone(), voice.amount());
    let data = received(voice, amount);
    let parties: &[&ScAddress] = if voice.random.chance(30) { &[&admin, &to] } else { &[&to] };
    voice.say("mint", parties, data);
    moved(voice, to, amount);
}

fn destroy(voice: &mut Voice, name: &str, by_admin: bool) {
    let (admin, from, amount) = (voice.anyone(), voice.anyone(), voice.amount());
    let data = if voice.random.chance(20) { map(vec![("amount", i128_wide(amount))]) } else { i128_wide(amount) };
    let parties: &[&ScAddress] = if by_admin { &[&admin, &from] } else { &[&from] };
    voice.say(name, parties, data);
    moved(voice, from, -amount);
}

fn approve(voice: &mut Voice) {
    let (owner, spender, amount) = (voice.anyone(), voice.anyone(), voice.amount());
    let live_until = voice.random.next() as u32;
    let (first, second) = (i128_wide(amount), ScVal::U32(live_until));
    let data = match voice.random.below(3) {
        0 => vec(vec![first, second]),
        1 => map(vec![("amount", first), ("live_until_ledger", second)]),
        _ => map(vec![("amount", first), ("expiration_ledger", second)]),
    };
    voice.say("approve", &[&owner, &spender], data);
    let contract = voice.contract.clone();
    voice.enter(ID, Entry::Allowed { contract, owner, spender, amount, live_until });
}

fn authorize(voice: &mut Voice) {
    let (admin, account) = (voice.anyone(), voice.anyone());
    let (by_admin, authorized) = (voice.random.chance(50), voice.random.chance(50));
    let parties: &[&ScAddress] = if by_admin { &[&admin, &account] } else { &[&account] };
    voice.say("set_authorized", parties, ScVal::Bool(authorized));
}

/// An amount alone, or with the id that tells a custodian whose it is.
fn received(voice: &mut Voice, amount: i128) -> ScVal {
    let id = match voice.random.below(8) {
        0 => ScVal::U64(voice.random.next()),
        1 => ScVal::Bytes(ScBytes(voice.random.bytes::<32>().to_vec().try_into().expect("32 bytes"))),
        2 => ScVal::String(ScString("invoice 7".try_into().expect("a short text"))),
        3 => ScVal::Void,
        4 => return map(vec![("amount", i128_wide(amount))]),
        _ => return i128_wide(amount),
    };
    map(vec![("amount", i128_wide(amount)), ("to_muxed_id", id)])
}

fn moved(voice: &mut Voice, account: ScAddress, by: i128) {
    let contract = voice.contract.clone();
    voice.enter(ID, Entry::Moved { contract, account, by });
}

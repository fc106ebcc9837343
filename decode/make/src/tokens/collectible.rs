//! What collectibles tell (SEP-50): each token is made, goes from owner to owner, and may come to its end.
use stellar_xdr::{ContractEventType, ScAddress, ScVal, UInt256Parts};

use crate::books::Entry;
use crate::random::Random;
use crate::tokens::roster::Number;
use crate::tokens::voice::Voice;
use crate::tokens::wasm::Code;
use crate::wide::Wide;
use crate::world::{HOLDERS, Stream};
use crate::xdr::{map, symbol, vec};

const ID: &str = "SEP50";
/// Tokens that a collection makes in a ledger.
const MADE: u64 = 3;

/// What a collection tells in the ledger `age` after it was made: new tokens, then what becomes of older ones.
pub fn tell(voice: &mut Voice, number: Number, age: u64, code: Code) {
    for token in age * MADE..(age + 1) * MADE {
        moved(voice, number, "mint", (token, code), None, Some(0));
    }
    if let Some(last) = age.checked_sub(1) {
        // twice in one ledger: the later one counts
        for token in last * MADE..age * MADE {
            moved(voice, number, "transfer", (token, code), Some(0), Some(1));
            moved(voice, number, "transfer", (token, code), Some(1), Some(2));
        }
    }
    if let Some(before) = age.checked_sub(2) {
        moved(voice, number, "burn", (before * MADE, code), Some(2), None);
    }
    approve(voice, id(age * MADE, code).0);
}

/// The `step`-th owner of a token.
fn owner(voice: &Voice, number: Number, token: u64, step: u64) -> ScAddress {
    let mut random: Random = voice.world.random(Stream::Token, &[number, token, step]);
    ScAddress::Account(voice.world.account(HOLDERS.start + random.below(200) as u32))
}

fn moved(
    voice: &mut Voice,
    number: Number,
    name: &str,
    (token, code): (u64, Code),
    from: Option<u64>,
    to: Option<u64>,
) {
    let [from, to] = [from, to].map(|step| step.map(|step| owner(voice, number, token, step)));
    let parties: Vec<_> = [&from, &to].into_iter().flatten().collect();
    let (value, wide) = id(token, code);
    let data = if voice.random.chance(30) { map(vec![("token_id", value)]) } else { value };
    voice.say(name, &parties, data);
    let contract = voice.contract.clone();
    voice.enter(ID, Entry::Owned { contract, token: wide, owner: to });
}

/// Who may move a token changes no owner.
fn approve(voice: &mut Voice, token: ScVal) {
    let (owner, other) = (voice.anyone(), voice.anyone());
    let (who, until) = (ScVal::Address(other.clone()), ScVal::U32(voice.random.next() as u32));
    match voice.random.below(3) {
        0 => voice.say("approve", &[&owner, &other], vec(vec![token, until])),
        1 => {
            let topics = vec![symbol("approve"), ScVal::Address(owner), token];
            let data = map(vec![("approved", who), ("live_until_ledger", until)]);
            voice.emit(ContractEventType::Contract, topics, data);
        }
        _ => voice.say("approve_for_all", &[&owner], vec(vec![who, until])),
    }
}

/// A token's id as its contract writes it, and what it is.
fn id(token: u64, code: Code) -> (ScVal, Wide) {
    match code {
        Code::WideCollectible | Code::Counter => {
            let parts = UInt256Parts { hi_hi: u64::MAX, hi_lo: u64::MAX, lo_hi: u64::MAX, lo_lo: u64::MAX - token };
            (ScVal::U256(parts), Wide::signed(-1 - i128::from(token)))
        }
        _ => (ScVal::U32(token as u32), Wide::signed(token.into())),
    }
}

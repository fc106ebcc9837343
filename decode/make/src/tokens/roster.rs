//! Who the contracts of a lake are: when each is made, and which code it runs from when on.
//!
//! All of it follows from a ledger's number in the lake, so that ledgers are made side by side.
use stellar_xdr::{
    ContractId, ContractIdPreimage, ContractIdPreimageFromAddress, Hash, HashIdPreimage, HashIdPreimageContractId,
    ScAddress, Uint256,
};

use crate::tokens::wasm::{CODES, Code};
use crate::world::{CALLERS, Stream, World};
use crate::xdr::{hash_of, sha256};

/// The codes that each of the first contracts runs, in turn.
const LIVES: [&[Code]; 11] = [
    &[Code::Fungible],
    &[Code::Collectible],
    &[Code::NoBurnFrom],
    &[Code::MuxedFungible],
    &[Code::Fungible, Code::Silent],
    &[Code::WideCollectible],
    &[Code::WrongAmount],
    &[Code::Collectible, Code::MuxedFungible],
    &[Code::Counter, Code::WideCollectible],
    &[Code::MixedIds],
    &[Code::Silent],
];
/// Contracts a ledger, of the first ones.
const AT_ONCE: u64 = 3;
/// After them one more every so many ledgers, from this one on.
const LATER: u64 = 6;
const EVERY: u64 = 4;
/// Ledgers from one upgrade to the next, and upgrades in a life.
const LIFE: u64 = 5;
const TURNS: u64 = 6;
/// Assets whose contract is deployed, one a ledger; those of the others emit events as well.
const DEPLOYED: u64 = 9;

/// A number that names a contract in the lake.
pub type Number = u64;

pub struct Roster {
    codes: Vec<(Code, Vec<u8>, Hash)>,
}

impl Roster {
    pub fn new() -> Self {
        let hashed = |code: Code| (code, code.wasm(), Hash(sha256(&[&code.wasm()])));
        Self { codes: CODES.map(hashed).to_vec() }
    }

    pub fn code(&self, code: Code) -> (&[u8], &Hash) {
        let (_, wasm, hash) = self.codes.iter().find(|held| held.0 == code).expect("every code is held");
        (wasm, hash)
    }
}

/// How many contracts there are in ledger `index`; their numbers count from 0.
pub fn alive(index: u64) -> u64 {
    let first = (AT_ONCE * (index + 1)).min(LIVES.len() as u64);
    first + if index < LATER { 0 } else { (index - LATER) / EVERY + 1 }
}

/// The ledger in which a contract is made.
pub fn born(number: Number) -> u64 {
    match number.checked_sub(LIVES.len() as u64) {
        None => number / AT_ONCE,
        Some(later) => LATER + later * EVERY,
    }
}

/// What a contract that is alive runs at the end of ledger `index`.
pub fn runs(number: Number, index: u64) -> Code {
    let codes = LIVES[(number % LIVES.len() as u64) as usize];
    codes[(((index - born(number)) / LIFE).min(TURNS) % codes.len() as u64) as usize]
}

/// Contracts whose code is another than in the ledger before.
pub fn upgraded(index: u64) -> impl Iterator<Item = Number> {
    (0..alive(index)).filter(move |number| born(*number) < index && runs(*number, index) != runs(*number, index - 1))
}

/// The asset whose contract is deployed in ledger `index`.
pub fn asset(index: u64) -> Option<usize> {
    (index < DEPLOYED).then_some(index as usize)
}

/// Who deployed a contract, and with which salt: its id follows.
pub fn preimage(world: &World, number: Number) -> ContractIdPreimage {
    let mut random = world.random(Stream::Token, &[number]);
    let address = ScAddress::Account(world.account(CALLERS.start + random.below(CALLERS.len() as u64) as u32));
    ContractIdPreimage::Address(ContractIdPreimageFromAddress { address, salt: Uint256(random.bytes()) })
}

pub fn contract_id(world: &World, number: Number) -> ContractId {
    let contract_id_preimage = preimage(world, number);
    let network_id = Hash(world.network);
    ContractId(hash_of(&HashIdPreimage::ContractId(HashIdPreimageContractId { network_id, contract_id_preimage })))
}

//! Codes of contracts: a few bytes of WASM around a specification, which is all that a protocol is known by.
use stellar_xdr::{ScSpecEntry, ScSpecFunctionInputV0, ScSpecFunctionV0, ScSpecTypeDef, ScSpecTypeOption, StringM};

use crate::xdr::{list, name, xdr};

/// What a contract may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Fungible,
    /// As the newest token SDK writes it: the receiver of a transfer may be a muxed address.
    MuxedFungible,
    /// Tokens are numbered in 32 bits.
    Collectible,
    /// Tokens are numbered in 256 bits, from the greatest number down.
    WideCollectible,
    /// SEP-41 but for `burn_from`.
    NoBurnFrom,
    /// SEP-41 in all names, with an amount of another type in one.
    WrongAmount,
    /// SEP-50 in all names, with two types for the ids of tokens.
    MixedIds,
    /// Without a specification.
    Silent,
    /// With one that is of no token.
    Counter,
}

pub const CODES: [Code; 9] = [
    Code::Fungible,
    Code::MuxedFungible,
    Code::Collectible,
    Code::WideCollectible,
    Code::NoBurnFrom,
    Code::WrongAmount,
    Code::MixedIds,
    Code::Silent,
    Code::Counter,
];

/// Name, types of the inputs, types of the output: a letter each, see `type_of`; `T` is what numbers tokens.
type Signature = (&'static str, &'static str, &'static str);

const FUNGIBLE: [Signature; 10] = [
    ("allowance", "aa", "i"),
    ("approve", "aaiu", ""),
    ("balance", "a", "i"),
    ("burn", "ai", ""),
    ("burn_from", "aai", ""),
    ("decimals", "", "u"),
    ("name", "", "s"),
    ("symbol", "", "s"),
    ("transfer", "aai", ""),
    ("transfer_from", "aaai", ""),
];
const COLLECTIBLE: [Signature; 11] = [
    ("approve", "aaTu", ""),
    ("approve_for_all", "aau", ""),
    ("balance", "a", "T"),
    ("get_approved", "T", "o"),
    ("is_approved_for_all", "aa", "b"),
    ("name", "", "s"),
    ("owner_of", "T", "a"),
    ("symbol", "", "s"),
    ("token_uri", "T", "s"),
    ("transfer", "aaT", ""),
    ("transfer_from", "aaaT", ""),
];
const COUNTER: [Signature; 2] = [("increment", "u", "u"), ("transfer", "aai", "")];

impl Code {
    pub fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Fungible | Self::MuxedFungible => Some("SEP41"),
            Self::Collectible | Self::WideCollectible => Some("SEP50"),
            _ => None,
        }
    }

    /// Whether a contract that runs this tells of collectibles, if it is one or not.
    pub fn speaks_of_collectibles(self) -> bool {
        matches!(self, Self::Collectible | Self::WideCollectible | Self::MixedIds | Self::Counter)
    }

    pub fn wasm(self) -> Vec<u8> {
        let spec = match self {
            Self::Fungible => spec(&FUNGIBLE, 'i', &[]),
            Self::MuxedFungible => spec(&FUNGIBLE, 'i', &[("transfer", "ami", ""), ("mint", "ai", "")]),
            Self::Collectible => spec(&COLLECTIBLE, 'u', &[]),
            Self::WideCollectible => spec(&COLLECTIBLE, 'z', &[("mint", "az", "")]),
            Self::NoBurnFrom => {
                spec(&FUNGIBLE.map(|f| if f.0 == "burn_from" { ("burnFrom", f.1, f.2) } else { f }), 'i', &[])
            }
            Self::WrongAmount => spec(&FUNGIBLE, 'i', &[("approve", "aawu", "")]),
            Self::MixedIds => spec(&COLLECTIBLE, 'u', &[("owner_of", "q", "a")]),
            Self::Counter => spec(&COUNTER, 'i', &[]),
            Self::Silent => return module(&[(b"contractmetav0", &[])]),
        };
        module(&[(b"contractenvmetav0", &[0; 12]), (b"contractspecv0", &spec)])
    }
}

/// The functions, with `other` in the place of those of the same name, or beside them.
fn spec(functions: &[Signature], token: char, other: &[Signature]) -> Vec<u8> {
    let kept = functions.iter().filter(|function| other.iter().all(|o| o.0 != function.0));
    let mut out = Vec::new();
    for (index, (named, inputs, output)) in kept.chain(other).enumerate() {
        let input = |(place, letter): (usize, char)| ScSpecFunctionInputV0 {
            doc: StringM::default(),
            // parameters are named as everybody likes
            name: format!("p{}", (index + place) % 5).as_str().try_into().expect("a short name"),
            type_: type_of(letter, token),
        };
        let function = ScSpecFunctionV0 {
            doc: "made up".try_into().expect("a short text"),
            name: name(named),
            inputs: list(inputs.chars().enumerate().map(input).collect()),
            outputs: list(output.chars().map(|letter| type_of(letter, token)).collect()),
        };
        out.extend(xdr(&ScSpecEntry::FunctionV0(function)));
    }
    out
}

fn type_of(letter: char, token: char) -> ScSpecTypeDef {
    match if letter == 'T' { token } else { letter } {
        'a' => ScSpecTypeDef::Address,
        'm' => ScSpecTypeDef::MuxedAddress,
        'b' => ScSpecTypeDef::Bool,
        'i' => ScSpecTypeDef::I128,
        'o' => ScSpecTypeDef::Option(Box::new(ScSpecTypeOption { value_type: Box::new(ScSpecTypeDef::Address) })),
        'q' => ScSpecTypeDef::U64,
        's' => ScSpecTypeDef::String,
        'u' => ScSpecTypeDef::U32,
        'w' => ScSpecTypeDef::U128,
        'z' => ScSpecTypeDef::U256,
        other => unreachable!("no type is written {other}"),
    }
}

/// A module of custom sections alone.
fn module(sections: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    for (named, content) in sections {
        let length = leb(named.len());
        out.push(0);
        out.extend(leb(length.len() + named.len() + content.len()));
        for part in [&length[..], named, content] {
            out.extend_from_slice(part);
        }
    }
    out
}

/// Unsigned LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

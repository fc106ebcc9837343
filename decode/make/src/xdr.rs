//! Small bridges to `stellar-xdr`: lists, bytes, hashes and contract values.
use sha2::{Digest, Sha256};
use stellar_xdr::{
    AccountId, Hash, Int128Parts, Limited, Limits, PublicKey, ScAddress, ScMap, ScMapEntry, ScSymbol, ScVal, ScVec,
    Uint256, VecM, WriteXdr,
};

/// A list of ours: never longer than the schema allows.
pub fn list<T, const MAX: u32>(items: Vec<T>) -> VecM<T, MAX> {
    items.try_into().unwrap_or_else(|_| panic!("more than {MAX} items"))
}

/// Append the XDR of `value`.
pub fn put<T: WriteXdr>(out: &mut Vec<u8>, value: &T) {
    let mut to = Limited::new(out, Limits::none());
    value.write_xdr(&mut to).expect("a value without recursion is written to memory");
}

pub fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).expect("a length of 32 bits").to_be_bytes());
}

pub fn xdr<T: WriteXdr>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put(&mut out, value);
    out
}

pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The hash of a value's XDR, as the network names things.
pub fn hash_of<T: WriteXdr>(value: &T) -> Hash {
    Hash(sha256(&[&xdr(value)]))
}

pub fn account_id(key: [u8; 32]) -> AccountId {
    AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key)))
}

pub fn account_address(key: [u8; 32]) -> ScVal {
    ScVal::Address(ScAddress::Account(account_id(key)))
}

pub fn name(text: &str) -> ScSymbol {
    ScSymbol(text.try_into().expect("a symbol of at most 32 bytes"))
}

pub fn symbol(text: &str) -> ScVal {
    ScVal::Symbol(name(text))
}

pub fn i128_value(value: i64) -> ScVal {
    ScVal::I128(Int128Parts { hi: if value < 0 { -1 } else { 0 }, lo: value as u64 })
}

pub fn map(entries: Vec<(&str, ScVal)>) -> ScVal {
    let entries = entries.into_iter().map(|(key, val)| ScMapEntry { key: symbol(key), val }).collect();
    ScVal::Map(Some(ScMap(list(entries))))
}

pub fn vec(values: Vec<ScVal>) -> ScVal {
    ScVal::Vec(Some(ScVec(list(values))))
}

//! Contracts in ledger entries: an instance with its executable, and WASM code.
use crate::cursor::Cursor;
use crate::fault::Checked;
use crate::ledger::hash_at;
use crate::prove::Hash;
use crate::skip;

/// `LedgerEntryType`.
const CONTRACT_DATA: u8 = 6;
const CONTRACT_CODE: u8 = 7;
/// `SCAddressType` of a contract.
const ADDRESS_CONTRACT: u8 = 1;
/// `SCValType`.
const CONTRACT_INSTANCE: u8 = 19;
const KEY_CONTRACT_INSTANCE: u8 = 20;
/// `ContractExecutableType`.
const WASM: u8 = 0;
const STELLAR_ASSET: u8 = 1;

/// Offsets in a `LedgerEntry`; the last byte of a discriminant tells it where a walk has checked the other three.
const TYPE: usize = 7;
/// What follows the ledger of the last change and the type.
const BODY: usize = 8;
/// Offsets in the `LedgerEntry` of an instance, which is the same in all of them up to the executable.
const ADDRESS_TYPE: usize = 15;
const CONTRACT: u32 = 16;
const KEY_TYPE: usize = 51;
const VALUE_TYPE: usize = 59;
const EXECUTABLE: usize = 60;
const WASM_HASH: u32 = 64;

/// Bytes that a contract's name may have.
const MAX_NAME_BYTES: usize = 256;
/// What a name lies under in an instance's storage: two symbols.
const METADATA: &[u8] = b"\0\0\0\x0f\0\0\0\x08METADATA";
const NAME: &[u8] = b"\0\0\0\x0f\0\0\0\x04name";
/// `SCValType` of a map that is there, and of a string.
const MAP: &[u8] = b"\0\0\0\x11\0\0\0\x01";
const STRING: &[u8] = b"\0\0\0\x0e";

/// The hash that stands for an executable which another contract holds (`CONTRACT_EXECUTABLE_EXTERNAL_REF`):
/// its code is not known from the instance, and nothing hashes to zeros.
pub const ELSEWHERE: Hash = [0; 32];

/// A ledger entry that says something about a contract.
#[derive(Debug)]
pub enum Entry<'a> {
    /// What a contract runs.
    Instance(Instance<'a>),
    /// Code that contracts run.
    Code(Code<'a>),
}

/// A `LedgerKey` of an [`Entry`].
#[derive(Debug)]
pub enum Key<'a> {
    /// Of the instance of this contract.
    Instance(&'a Hash),
    /// Of the code with this hash.
    Code(&'a Hash),
}

/// The instance of a contract.
#[derive(Debug)]
pub struct Instance<'a> {
    /// The contract.
    pub contract: &'a Hash,
    /// The hash of its WASM; None for a Stellar Asset Contract.
    pub wasm_hash: Option<Hash>,
    entry: &'a [u8],
}

/// Code under its key.
#[derive(Debug)]
pub struct Code<'a> {
    /// The key: what the code should hash to.
    pub hash: &'a Hash,
    /// Where the key is in the entry.
    pub hash_at: u32,
    /// The code.
    pub code: &'a [u8],
}

/// Whether a walked `LedgerEntry` is an [`Entry`]; on the way of every entry, so it looks at as little as it can.
#[inline(always)]
pub fn is_code_or_instance(entry: &[u8]) -> bool {
    match entry[TYPE] {
        CONTRACT_DATA => is_instance(entry),
        kind => kind == CONTRACT_CODE,
    }
}

fn is_instance(entry: &[u8]) -> bool {
    let byte = |at: usize| entry.get(at).copied();
    byte(ADDRESS_TYPE) == Some(ADDRESS_CONTRACT)
        && byte(KEY_TYPE) == Some(KEY_CONTRACT_INSTANCE)
        && byte(VALUE_TYPE) == Some(CONTRACT_INSTANCE)
}

impl<'a> Entry<'a> {
    /// Reads a `LedgerEntry` that a walk went past; None where it says nothing about a contract.
    pub fn read(entry: &'a [u8]) -> Option<Self> {
        if !is_code_or_instance(entry) {
            return None;
        }
        match entry[TYPE] {
            CONTRACT_CODE => Some(Entry::Code(code(entry).expect("the walk went past it"))),
            _ => Some(Entry::Instance(instance(entry))),
        }
    }
}

impl<'a> Key<'a> {
    /// Reads a `LedgerKey` that a walk went past; None where it is that of something else.
    pub fn read(key: &'a [u8]) -> Option<Self> {
        match key {
            [0, 0, 0, CONTRACT_CODE, hash @ ..] => hash.first_chunk().map(Key::Code),
            [0, 0, 0, CONTRACT_DATA, 0, 0, 0, ADDRESS_CONTRACT, rest @ ..] => {
                let (contract, key) = rest.split_first_chunk()?;
                key.starts_with(&[0, 0, 0, KEY_CONTRACT_INSTANCE]).then_some(Key::Instance(contract))
            }
            _ => None,
        }
    }
}

fn instance(entry: &[u8]) -> Instance<'_> {
    let wasm_hash = match entry[EXECUTABLE + 3] {
        WASM => Some(*hash_at(entry, WASM_HASH)),
        STELLAR_ASSET => None,
        _ => Some(ELSEWHERE),
    };
    Instance { contract: hash_at(entry, CONTRACT), wasm_hash, entry }
}

fn code(entry: &[u8]) -> Checked<Code<'_>> {
    let c = &mut Cursor::new(entry);
    c.skip(BODY)?;
    skip::contract_code_entry_ext(c)?;
    let at = c.mark();
    c.skip(32)?;
    Ok(Code { hash: hash_at(entry, at), hash_at: at, code: c.bytes(u32::MAX)? })
}

impl<'a> Instance<'a> {
    /// The name that the contract gives itself, where it is fit to be shown.
    pub fn name(&self) -> Option<&'a str> {
        let c = &mut Cursor::new(self.entry);
        c.skip(EXECUTABLE).ok()?;
        skip::contract_executable(c).ok()?;
        if !c.optional().ok()? {
            return None;
        }
        let metadata = value_of(c, METADATA)?.strip_prefix(MAP)?;
        let name = value_of(&mut Cursor::new(metadata), NAME)?.strip_prefix(STRING)?;
        let name = Cursor::new(name).bytes(u32::MAX).ok()?;
        let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= MAX_NAME_BYTES)?;
        (!name.chars().any(char::is_control)).then_some(name)
    }
}

/// The value under a key in the `SCMap` that the cursor stands at.
fn value_of<'a>(c: &mut Cursor<'a>, wanted: &[u8]) -> Option<&'a [u8]> {
    for _ in 0..c.word().ok()? {
        let start = c.mark();
        skip::sc_val(c).ok()?;
        let found = c.since(start) == wanted;
        let start = c.mark();
        skip::sc_val(c).ok()?;
        if found {
            return Some(c.since(start));
        }
    }
    None
}

//! The rows that codes and instances of contracts in ledger entry changes come to.
use crate::built::*;
use crate::driver::{Ran, run_with};
use _decode::chunk::Decoder;
use _decode::contract::ELSEWHERE;
use _decode::copy::Stream;
use _decode::rows::Rows;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use stellar_xdr::*;

pub type Change = fn(LedgerEntry) -> LedgerEntryChange;
pub const STATE: Change = LedgerEntryChange::State;
const CREATED: Change = LedgerEntryChange::Created;
pub const UPDATED: Change = LedgerEntryChange::Updated;
const RESTORED: Change = LedgerEntryChange::Restored;

/// WASM without a section.
const EMPTY_WASM: &[u8] = b"\0asm\x01\0\0\0";

fn instance(contract: u8, executable: ContractExecutable, storage: Option<ScMap>) -> LedgerEntry {
    entry(LedgerEntryData::ContractData(ContractDataEntry {
        contract: ScAddress::Contract(ContractId(Hash([contract; 32]))),
        key: ScVal::LedgerKeyContractInstance,
        durability: ContractDataDurability::Persistent,
        val: ScVal::ContractInstance(ScContractInstance { executable, storage }),
        ..ContractDataEntry::default()
    }))
}

/// The instance of a contract that runs the WASM whose hash repeats one byte.
pub fn runs(contract: u8, wasm: u8) -> LedgerEntry {
    instance(contract, ContractExecutable::Wasm(Hash([wasm; 32])), None)
}

fn code(code: &[u8], ext: ContractCodeEntryExt) -> LedgerEntry {
    let hash = Hash(Sha256::digest(code).into());
    let code = code.to_vec().try_into().expect("short");
    entry(LedgerEntryData::ContractCode(ContractCodeEntry { ext, hash, code }))
}

fn entry(data: LedgerEntryData) -> LedgerEntry {
    LedgerEntry { data, ..LedgerEntry::default() }
}

/// Ledgers from 7 on, each with these changes in its only operation.
fn built(ledgers: &[&[LedgerEntryChange]]) -> Vec<LedgerCloseMeta> {
    let (mut previous, mut out) = (Hash([1; 32]), Vec::new());
    for (sequence, changes) in (7..).zip(ledgers) {
        let changes = LedgerEntryChanges(changes.to_vec().try_into().expect("few"));
        let operations = vec![OperationMetaV2 { changes, ..OperationMetaV2::default() }].try_into().expect("one");
        let meta = TransactionMeta::V4(TransactionMetaV4 { operations, ..TransactionMetaV4::default() });
        let one = transaction(plain(1), vec![bump(None, 1)], meta);
        out.push(ledger(sequence, &previous, Shape::Generalized, vec![one], |_| {}));
        previous = hash_of(&out[out.len() - 1]);
    }
    out
}

fn decoder(tables: &[&str]) -> Decoder {
    let rows = Rows::of(tables.iter().copied()).expect("tables");
    Decoder::new(PASSPHRASE, HashMap::new(), 1 << 21).making(rows)
}

fn decoded(tables: &[&str], ledgers: &[&[LedgerEntryChange]]) -> Ran {
    let plain: Vec<_> = built(ledgers).iter().map(xdr).collect();
    let objects: Vec<_> = (7..).zip(&plain).map(|(sequence, bytes)| (sequence, sequence, bytes.as_slice())).collect();
    run_with(decoder(tables), 7, 6 + ledgers.len() as u32, &objects, true)
}

/// The rows of `contract_instances`: contract, from ledger, WASM, each by its byte, and the name.
fn observed(ledgers: &[&[LedgerEntryChange]]) -> Vec<(u8, i32, Option<u8>, Option<String>)> {
    let ran = decoded(&["contract_instances"], ledgers);
    assert_eq!(ran.chunk.error, None);
    let mut fields = Fields::new(&ran.written, 4);
    let mut out = Vec::new();
    for _ in 0..ran.chunk.sections[0].1 {
        let row: Vec<_> = (0..4).map(|_| fields.next()).collect();
        let from = i32::from_be_bytes(row[1].as_deref().expect("a ledger").try_into().expect("an int4"));
        let name = row[3].clone().map(|name| String::from_utf8(name).expect("text"));
        out.push((row[0].as_ref().expect("a contract")[31], from, row[2].as_ref().map(|hash| hash[31]), name));
    }
    out
}

/// The fields of a COPY stream, one after another.
struct Fields<'a> {
    left: &'a [u8],
    width: usize,
    at: usize,
}

impl<'a> Fields<'a> {
    fn new(stream: &'a [u8], width: usize) -> Self {
        let mut empty = Stream::default();
        empty.start();
        Fields { left: stream.strip_prefix(empty.bytes()).expect("a header"), width, at: 0 }
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, left) = self.left.split_at(bytes);
        self.left = left;
        taken
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.at.is_multiple_of(self.width) {
            assert_eq!(self.take(2), (self.width as u16).to_be_bytes());
        }
        self.at += 1;
        let length = i32::from_be_bytes(self.take(4).try_into().expect("four bytes"));
        (length >= 0).then(|| self.take(length as usize).to_vec())
    }
}

#[test]
fn a_state_is_seen_from_the_ledger_before_on_and_only_where_it_is_the_first() {
    assert_eq!(observed(&[&[STATE(runs(1, 5)), UPDATED(runs(1, 5))]]), [(1, 6, Some(5), None)]);
    let upgraded: &[&[_]] = &[&[STATE(runs(1, 5)), UPDATED(runs(1, 6)), STATE(runs(1, 6))], &[STATE(runs(1, 6))]];
    assert_eq!(observed(upgraded), [(1, 6, Some(5), None), (1, 7, Some(6), None)]);
    assert_eq!(observed(&[&[CREATED(runs(1, 5)), STATE(runs(1, 6))]]), [(1, 7, Some(5), None)]);
}

#[test]
fn an_executable_is_a_row_where_it_differs_from_the_last() {
    let ledgers: &[&[_]] = &[
        &[CREATED(runs(1, 5)), CREATED(runs(2, 5))],
        &[UPDATED(runs(1, 5)), RESTORED(runs(2, 6))],
        &[UPDATED(runs(2, 5)), UPDATED(runs(1, 7))],
    ];
    let wanted = [(1, 7, 5), (2, 7, 5), (2, 8, 6), (2, 9, 5), (1, 9, 7)];
    assert_eq!(observed(ledgers), wanted.map(|(contract, from, wasm)| (contract, from, Some(wasm), None)));
}

#[test]
fn the_last_executable_of_a_ledger_counts() {
    let ledgers: &[&[_]] = &[&[CREATED(runs(1, 5))], &[UPDATED(runs(1, 6)), UPDATED(runs(1, 7)), UPDATED(runs(1, 8))]];
    assert_eq!(observed(ledgers), [(1, 7, Some(5), None), (1, 8, Some(8), None)]);
}

#[test]
fn a_removal_and_other_data_of_a_contract_are_no_rows() {
    let key = LedgerKey::ContractData(LedgerKeyContractData {
        contract: ScAddress::Contract(ContractId(Hash([1; 32]))),
        key: ScVal::LedgerKeyContractInstance,
        durability: ContractDataDurability::Persistent,
    });
    let LedgerEntryData::ContractData(data) = runs(1, 5).data else { unreachable!("it is data") };
    let other_key = ContractDataEntry { key: ScVal::Void, ..data.clone() };
    let other_value = ContractDataEntry { val: ScVal::Void, ..data.clone() };
    let of_account = ContractDataEntry { contract: ScAddress::Account(AccountId::default()), ..data.clone() };
    let of_pool = ContractDataEntry { contract: ScAddress::LiquidityPool(PoolId(Hash([1; 32]))), ..data };
    let others =
        [other_key, other_value, of_account, of_pool].map(|data| CREATED(entry(LedgerEntryData::ContractData(data))));
    assert_eq!(observed(&[&[LedgerEntryChange::Removed(key)], &others]), []);
}

#[test]
fn asset_contracts_have_no_wasm_and_references_one_that_nothing_hashes_to() {
    let reference = ContractExecutable::ExternalRef(ContractExecutableExternalRef {
        executable_owner: ScAddress::Contract(ContractId(Hash([9; 32]))),
        tag: ScString::default(),
    });
    let asset = instance(1, ContractExecutable::StellarAsset, None);
    let wanted = [(1, 7, None, None), (2, 7, Some(ELSEWHERE[31]), None)];
    assert_eq!(observed(&[&[CREATED(asset), CREATED(instance(2, reference, None))]]), wanted);
}

/// Storage with a name where metadata have it, behind something else.
fn named(key: &str, name: ScVal) -> Option<ScMap> {
    let symbol = |text: &str| ScVal::Symbol(ScSymbol(text.try_into().expect("short")));
    let pair = |key: ScVal, val: ScVal| ScMapEntry { key, val };
    let map = |entries: Vec<ScMapEntry>| ScMap(entries.try_into().expect("few"));
    let metadata = map(vec![pair(symbol("decimal"), ScVal::U32(7)), pair(symbol("name"), name)]);
    Some(map(vec![pair(ScVal::U32(1), ScVal::Void), pair(symbol(key), ScVal::Map(Some(metadata)))]))
}

#[test]
fn a_name_is_told_where_it_is_fit_to_be_shown() {
    let string = |bytes: &[u8]| ScVal::String(ScString(bytes.to_vec().try_into().expect("short")));
    let long = "é".repeat(128);
    let cases = [
        ("METADATA", string("Токен 1".as_bytes()), Some("Токен 1")),
        ("METADATA", string(long.as_bytes()), Some(long.as_str())),
        ("METADATA", string("a".repeat(257).as_bytes()), None),
        ("METADATA", string(b"a\nb"), None),
        ("METADATA", string(b"a\xffb"), None),
        ("METADATA", string("a\u{85}b".as_bytes()), None),
        ("METADATA", ScVal::U32(1), None),
        ("METADATB", string(b"a"), None),
    ];
    for (key, name, wanted) in cases {
        for executable in [ContractExecutable::StellarAsset, ContractExecutable::Wasm(Hash([5; 32]))] {
            let rows = observed(&[&[CREATED(instance(1, executable, named(key, name.clone())))]]);
            assert_eq!(rows[0].3.as_deref(), wanted);
        }
    }
}

#[test]
fn each_code_of_a_chunk_is_one_row() {
    let section = [&b"\0\x10\x0econtractspecv0\x2a"[..]].concat();
    let with_spec = [EMPTY_WASM, &section].concat();
    let v1 = ContractCodeEntryExt::V1(ContractCodeEntryV1::default());
    let ledgers: &[&[_]] = &[
        &[CREATED(code(&with_spec, v1)), STATE(code(EMPTY_WASM, ContractCodeEntryExt::V0))],
        &[RESTORED(code(&with_spec, ContractCodeEntryExt::V0)), UPDATED(code(b"no wasm", ContractCodeEntryExt::V0))],
    ];
    let ran = decoded(&["contract_specs"], ledgers);
    assert_eq!((ran.chunk.error, ran.chunk.sections[0].1), (None, 3));
    let mut fields = Fields::new(&ran.written, 3);
    let codes = [(&with_spec[..], Some(b"\x2a".to_vec()), 7_i32), (EMPTY_WASM, None, 7), (b"no wasm", None, 8)];
    for (code, spec, ledger) in codes {
        assert_eq!(fields.next().as_deref(), Some(&Sha256::digest(code)[..]));
        assert_eq!(fields.next(), spec);
        assert_eq!(fields.next().as_deref(), Some(&ledger.to_be_bytes()[..]));
    }
}

#[test]
fn a_code_that_does_not_hash_to_its_key_is_a_corrupt_ledger() {
    for change in [STATE, CREATED, UPDATED, RESTORED] {
        let mut entry = code(EMPTY_WASM, ContractCodeEntryExt::V0);
        let LedgerEntryData::ContractCode(code) = &mut entry.data else { unreachable!("it is code") };
        code.hash = Hash([7; 32]);
        for tables in [&["contract_specs"][..], &[]] {
            let ran = decoded(tables, &[&[], &[change(entry.clone())]]);
            let error = ran.error();
            assert_eq!((error.ledger, error.container, ran.chunk.ledgers), (8, false, 1));
            assert!(error.fault.expected.starts_with("the hash of a code, "), "{error}");
            assert_eq!(error.fault.found, "07".repeat(32));
        }
    }
}

#[test]
fn sections_are_in_their_order_and_there_without_rows_too() {
    let changes = [CREATED(runs(1, 5)), CREATED(code(EMPTY_WASM, ContractCodeEntryExt::V0))];
    for (changes, rows) in [(&changes[..], 1), (&[], 0)] {
        let sections = decoded(&["contract_instances", "contract_specs", "events"], &[changes]).chunk.sections;
        let found: Vec<_> = sections.iter().map(|(table, rows, ..)| (*table, *rows)).collect();
        assert_eq!(found, [("events", 0), ("contract_specs", rows), ("contract_instances", rows)]);
        assert!(sections.iter().all(|(_, rows, _, length)| *rows > 0 || *length == 21));
    }
}

#[test]
fn ledgers_of_an_object_that_are_not_wanted_give_no_rows() {
    let code = |byte: u8| CREATED(code(&[byte], ContractCodeEntryExt::V0));
    let ledgers: &[&[_]] = &[&[CREATED(runs(1, 5)), code(1)], &[UPDATED(runs(1, 6)), code(2)], &[code(3)]];
    let object = zstd::encode_all(&batch(&built(ledgers), 7, 9)[..], 1).expect("memory takes it");
    let ran = run_with(decoder(&["contract_specs", "contract_instances"]), 8, 8, &[(7, 9, &object)], false);
    assert_eq!(ran.chunk.error, None);
    assert_eq!(ran.chunk.sections.iter().map(|section| section.1).collect::<Vec<_>>(), [1, 1]);
    let specs = &ran.written[..ran.chunk.sections[0].3 as usize];
    assert_eq!(Fields::new(specs, 3).next().as_deref(), Some(&Sha256::digest([2])[..]));
}

#[test]
fn an_unknown_table_is_refused_by_name() {
    let refused = Rows::of(["ledgers", "ledger"]).expect_err("there is no such table");
    assert!(refused.starts_with("no table \"ledger\": there are ledgers, transactions"), "{refused}");
    assert_eq!(Rows::of(["events", "ledgers"]).expect("tables").tables(), ["ledgers", "events"]);
}

//! What a transaction does to contracts, as the network would write it: uploads, deployments, upgrades, calls.
use stellar_xdr::{
    ContractCodeEntry, ContractCodeEntryExt, ContractDataDurability, ContractDataEntry, ContractEvent,
    ContractExecutable, ContractId, ContractIdPreimage, CreateContractArgs, DiagnosticEvent, ExtensionPoint, Hash,
    HostFunction, InvokeContractArgs, InvokeHostFunctionOp, InvokeHostFunctionResult,
    InvokeHostFunctionSuccessPreImage, LedgerEntry, LedgerEntryChange, LedgerEntryData, LedgerEntryExt,
    LedgerFootprint, LedgerKey, LedgerKeyContractData, OperationBody, OperationResultTr, RestoreFootprintOp,
    RestoreFootprintResult, ScAddress, ScBytes, ScContractInstance, ScVal, SorobanResources, SorobanTransactionData,
    SorobanTransactionDataExt, TtlEntry,
};

use crate::pubnet::apply::Floor;
use crate::pubnet::diagnostics;
use crate::pubnet::operations::{Call, Step};
use crate::pubnet::party::Party;
use crate::pubnet::state::Changes;
use crate::tokens::roster::{self, Number, Roster};
use crate::tokens::wasm::Code;
use crate::xdr::{hash_of, list, name, symbol};

/// Ledgers for which new entries live.
const LIVE_LEDGERS: u32 = 120_960;

/// What one transaction does.
pub enum Act {
    Upload(Code),
    Deploy(Number, Code),
    /// Deploy the contract of an asset.
    Asset(usize),
    /// The first code is replaced by the second.
    Upgrade(Number, Code, Code),
    /// Bring back what had been archived, as it was.
    Restore(Number, Code),
    Call {
        contract: ContractId,
        events: Vec<ContractEvent>,
        /// Of a failed call: its events stand among the operation's all the same.
        told: bool,
    },
}

/// What an act asks of the host, and what comes of it.
struct Done {
    function: HostFunction,
    returned: ScVal,
    changes: Changes,
    events: Vec<ContractEvent>,
}

impl Act {
    /// Carry it out, as the one operation of the transaction.
    pub fn step(&self, roster: &Roster, floor: &mut Floor, party: &Party) -> Step {
        let (world, sequence) = (floor.world, floor.sequence);
        let wasm = |code| ContractExecutable::Wasm(roster.code(code).1.clone());
        match self {
            Self::Upload(code) => invoked(floor, party, upload(roster, *code, sequence), true),
            Self::Deploy(number, code) => {
                let contract = roster::contract_id(world, *number);
                let done = deploy(roster::preimage(world, *number), wasm(*code), contract, sequence);
                invoked(floor, party, done, true)
            }
            Self::Asset(coin) => {
                let coin = &world.coins[*coin];
                let preimage = ContractIdPreimage::Asset(coin.asset.clone());
                let done = deploy(preimage, ContractExecutable::StellarAsset, coin.contract.clone(), sequence);
                invoked(floor, party, done, true)
            }
            Self::Upgrade(number, old, new) => {
                let done = upgrade(roster::contract_id(world, *number), wasm(*old), wasm(*new), sequence);
                invoked(floor, party, done, true)
            }
            Self::Restore(number, code) => restore(floor, party, roster::contract_id(world, *number), wasm(*code)),
            Self::Call { contract, events, told } => {
                let function = HostFunction::InvokeContract(call(contract, "work", Vec::new()));
                let events = events.clone();
                invoked(floor, party, Done { function, returned: ScVal::Void, changes: Vec::new(), events }, *told)
            }
        }
    }
}

fn upload(roster: &Roster, code: Code, sequence: u32) -> Done {
    let (wasm, hash) = roster.code(code);
    let entry = ContractCodeEntry {
        ext: ContractCodeEntryExt::V0,
        hash: hash.clone(),
        code: wasm.try_into().expect("a small code"),
    };
    Done {
        function: HostFunction::UploadContractWasm(entry.code.clone()),
        returned: hash_value(hash),
        changes: created(LedgerEntryData::ContractCode(entry), sequence),
        events: Vec::new(),
    }
}

fn deploy(preimage: ContractIdPreimage, executable: ContractExecutable, contract: ContractId, sequence: u32) -> Done {
    let args = CreateContractArgs { contract_id_preimage: preimage, executable: executable.clone() };
    Done {
        function: HostFunction::CreateContract(args),
        changes: created(LedgerEntryData::ContractData(instance(&contract, executable)), sequence),
        returned: ScVal::Address(ScAddress::Contract(contract)),
        events: Vec::new(),
    }
}

/// The contract is called, and replaces its own code; the network tells of it.
fn upgrade(contract: ContractId, old: ContractExecutable, new: ContractExecutable, sequence: u32) -> Done {
    use stellar_xdr::ContractEventType::System;
    let value = |executable: &ContractExecutable| match executable {
        ContractExecutable::Wasm(hash) => crate::xdr::vec(vec![symbol("Wasm"), hash_value(hash)]),
        _ => ScVal::Void,
    };
    let topics = vec![symbol("executable_update"), value(&old), value(&new)];
    let told = crate::pubnet::events::event(System, Some(&contract), topics, crate::xdr::vec(Vec::new()));
    let [old, new] = [(old, sequence - 1), (new, sequence)]
        .map(|(executable, modified)| entry(LedgerEntryData::ContractData(instance(&contract, executable)), modified));
    Done {
        function: HostFunction::InvokeContract(call(&contract, "upgrade", Vec::new())),
        returned: ScVal::Void,
        changes: vec![LedgerEntryChange::State(old), LedgerEntryChange::Updated(new)],
        events: vec![told],
    }
}

fn restore(floor: &mut Floor, party: &Party, contract: ContractId, executable: ContractExecutable) -> Step {
    let data = LedgerEntryData::ContractData(instance(&contract, executable));
    let changes = vec![LedgerEntryChange::Restored(entry(data, floor.sequence.saturating_sub(1000).max(1)))];
    let body = OperationBody::RestoreFootprint(RestoreFootprintOp { ext: ExtensionPoint::V0 });
    let result = OperationResultTr::RestoreFootprint(RestoreFootprintResult::Success);
    let data = resources(floor, party, vec![instance_key(&contract)]);
    let call = Some(Call { data, returned: None, diagnostics: Vec::new() });
    Step { changes, call, ..Step::new(None, body, result) }
}

/// A call of the host; one that fails does nothing, whatever its events say.
fn invoked(floor: &mut Floor, party: &Party, done: Done, told: bool) -> Step {
    let data = resources(floor, party, Vec::new());
    let successful = party.intent.successful;
    let diagnostics = diagnostics(floor, &done, successful);
    let auth = list(Vec::new());
    let body = OperationBody::InvokeHostFunction(InvokeHostFunctionOp { host_function: done.function, auth });
    let events = if told { done.events } else { Vec::new() };
    if !successful {
        let result = OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Trapped);
        return Step {
            events,
            call: Some(Call { data, returned: None, diagnostics }),
            ..Step::new(None, body, result)
        };
    }
    let return_value = done.returned.clone();
    let preimage = InvokeHostFunctionSuccessPreImage { return_value, events: list(events.clone()) };
    let result = OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Success(hash_of(&preimage)));
    let call = Some(Call { data, returned: Some(done.returned), diagnostics });
    Step { changes: done.changes, events, call, ..Step::new(None, body, result) }
}

fn diagnostics(floor: &mut Floor, done: &Done, successful: bool) -> Vec<DiagnosticEvent> {
    let HostFunction::InvokeContract(args) = &done.function else { return Vec::new() };
    let ScAddress::Contract(contract) = &args.contract_address else { return Vec::new() };
    let end = Ok((&done.events[..], &done.returned));
    let mut all = diagnostics::of_call(contract, args, end, &mut floor.random);
    all.iter_mut().for_each(|each| each.in_successful_contract_call = successful);
    all
}

fn call(contract: &ContractId, function: &str, args: Vec<ScVal>) -> InvokeContractArgs {
    let contract_address = ScAddress::Contract(contract.clone());
    InvokeContractArgs { contract_address, function_name: name(function), args: list(args) }
}

fn resources(floor: &mut Floor, party: &Party, restored: Vec<LedgerKey>) -> SorobanTransactionData {
    let mut about = |size: i64| floor.random.within(size, size * 2) as u32;
    let footprint = LedgerFootprint { read_only: list(Vec::new()), read_write: list(restored) };
    let resources = SorobanResources {
        instructions: about(1_000_000),
        disk_read_bytes: about(300),
        write_bytes: about(500),
        footprint,
    };
    SorobanTransactionData { ext: SorobanTransactionDataExt::V0, resources, resource_fee: party.resource_fee }
}

fn instance(contract: &ContractId, executable: ContractExecutable) -> ContractDataEntry {
    ContractDataEntry {
        ext: ExtensionPoint::V0,
        contract: ScAddress::Contract(contract.clone()),
        key: ScVal::LedgerKeyContractInstance,
        durability: ContractDataDurability::Persistent,
        val: ScVal::ContractInstance(ScContractInstance { executable, storage: None }),
    }
}

fn instance_key(contract: &ContractId) -> LedgerKey {
    LedgerKey::ContractData(LedgerKeyContractData {
        contract: ScAddress::Contract(contract.clone()),
        key: ScVal::LedgerKeyContractInstance,
        durability: ContractDataDurability::Persistent,
    })
}

/// A new entry, and its time to live.
fn created(data: LedgerEntryData, sequence: u32) -> Changes {
    let key_hash = hash_of(&data.to_key());
    let ttl = LedgerEntryData::Ttl(TtlEntry { key_hash, live_until_ledger_seq: sequence + LIVE_LEDGERS });
    [ttl, data].map(|data| LedgerEntryChange::Created(entry(data, sequence))).into()
}

fn entry(data: LedgerEntryData, last_modified_ledger_seq: u32) -> LedgerEntry {
    LedgerEntry { last_modified_ledger_seq, data, ext: LedgerEntryExt::V0 }
}

fn hash_value(hash: &Hash) -> ScVal {
    ScVal::Bytes(ScBytes(hash.0.try_into().expect("32 bytes")))
}

//! Contract calls: a token's transfer, with its authorization, its storage and what the host tells of it.
use stellar_xdr::{
    ContractDataDurability, ContractDataEntry, ContractEvent, ContractEventType, ExtensionPoint, Hash, HostFunction,
    InvokeContractArgs, InvokeHostFunctionOp, InvokeHostFunctionResult, InvokeHostFunctionSuccessPreImage, LedgerEntry,
    LedgerEntryChange, LedgerEntryData, LedgerEntryExt, LedgerFootprint, LedgerKey, LedgerKeyContractCode,
    LedgerKeyContractData, OperationBody, OperationResultTr, ScAddress, ScBytes, ScNonceKey, ScVal,
    SorobanAddressCredentials, SorobanAuthorizationEntry, SorobanAuthorizedFunction, SorobanAuthorizedInvocation,
    SorobanCredentials, SorobanResources, SorobanTransactionData, SorobanTransactionDataExt, TtlEntry,
};

use super::{Bench, Call, Step};
use crate::pubnet::entries::{balance_key, balance_value};
use crate::pubnet::state::{Changes, Key};
use crate::pubnet::{diagnostics, events};
use crate::world::{HOLDERS, Who};
use crate::xdr::{account_address, hash_of, i128_value, list, map, name, symbol, vec};

/// Ledgers for which a nonce is remembered.
const NONCE_LEDGERS: u32 = 120;

/// Who calls which contract for what.
struct Invocation {
    contract: usize,
    from: Who,
    to: Who,
    amount: i64,
    nonce: Option<i64>,
}

pub fn steps(bench: &mut Bench) -> Vec<Step> {
    (0..bench.party.intent.operations).map(|_| step(bench)).collect()
}

fn step(bench: &mut Bench) -> Step {
    let invocation = Invocation {
        contract: bench.random.below(bench.world.contracts.len() as u64) as usize,
        from: bench.party.source,
        to: HOLDERS.start + bench.random.below(HOLDERS.len() as u64) as Who,
        amount: bench.random.amount(),
        nonce: bench.random.chance(70).then(|| bench.random.next() as i64),
    };
    let args = arguments(bench, &invocation);
    let auth = list(vec![authorization(bench, &invocation, &args)]);
    let host_function = HostFunction::InvokeContract(args.clone());
    let body = OperationBody::InvokeHostFunction(InvokeHostFunctionOp { host_function, auth });
    let data = resources(bench, &invocation);
    let contract = &bench.world.contracts[invocation.contract];
    if !bench.party.intent.successful {
        let trapped = OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Trapped);
        let diagnostics = diagnostics::of_call(contract, &args, Err(()), bench.random);
        return Step { call: Some(Call { data, returned: None, diagnostics }), ..Step::new(None, body, trapped) };
    }
    let (events, returned) = (told(bench, &invocation), returned(&invocation));
    let preimage = InvokeHostFunctionSuccessPreImage { return_value: returned.clone(), events: list(events.clone()) };
    let success = InvokeHostFunctionResult::Success(hash_of(&preimage));
    let diagnostics = diagnostics::of_call(contract, &args, Ok((&events, &returned)), bench.random);
    let call = Some(Call { data, returned: Some(returned), diagnostics });
    let changes = settle(bench, &invocation);
    Step { changes, events, call, ..Step::new(None, body, OperationResultTr::InvokeHostFunction(success)) }
}

fn arguments(bench: &Bench, invocation: &Invocation) -> InvokeContractArgs {
    let party = |who| account_address(bench.world.key(who));
    InvokeContractArgs {
        contract_address: ScAddress::Contract(bench.world.contracts[invocation.contract].clone()),
        function_name: name("transfer"),
        args: list(vec![party(invocation.from), party(invocation.to), i128_value(invocation.amount)]),
    }
}

/// Signed by the account itself under a nonce, or implied by the transaction's signature.
fn authorization(bench: &mut Bench, invocation: &Invocation, args: &InvokeContractArgs) -> SorobanAuthorizationEntry {
    let credentials = match invocation.nonce {
        None => SorobanCredentials::SourceAccount,
        Some(nonce) => SorobanCredentials::Address(SorobanAddressCredentials {
            address: ScAddress::Account(bench.world.account(invocation.from)),
            nonce,
            signature_expiration_ledger: bench.sequence + NONCE_LEDGERS,
            signature: signature(bench, invocation.from),
        }),
    };
    let function = SorobanAuthorizedFunction::ContractFn(args.clone());
    let root_invocation = SorobanAuthorizedInvocation { function, sub_invocations: list(Vec::new()) };
    SorobanAuthorizationEntry { credentials, root_invocation }
}

fn signature(bench: &mut Bench, who: Who) -> ScVal {
    let bytes = |bytes: Vec<u8>| ScVal::Bytes(ScBytes(bytes.try_into().expect("a few bytes")));
    let key = bench.world.key(who).to_vec();
    vec(vec![map(vec![("public_key", bytes(key)), ("signature", bytes(bench.random.bytes::<64>().to_vec()))])])
}

/// The contract's events: its transfer, and one of its own kind.
fn told(bench: &Bench, invocation: &Invocation) -> Vec<ContractEvent> {
    let contract = Some(&bench.world.contracts[invocation.contract]);
    let party = |who| account_address(bench.world.key(who));
    let (from, to) = (party(invocation.from), party(invocation.to));
    let transfer = (vec![symbol("transfer"), from.clone(), to], i128_value(invocation.amount));
    let score = map(vec![("ledger", ScVal::U32(bench.sequence)), ("total", i128_value(invocation.amount * 3))]);
    let scored = (vec![symbol("scored"), from], score);
    let both = [transfer, scored].into_iter().take(bench.party.intent.events);
    both.map(|(topics, data)| events::event(ContractEventType::Contract, contract, topics, data)).collect()
}

fn returned(invocation: &Invocation) -> ScVal {
    if invocation.contract.is_multiple_of(2) { ScVal::Void } else { i128_value(invocation.amount) }
}

fn settle(bench: &mut Bench, invocation: &Invocation) -> Changes {
    let mut changes = Changes::new();
    for (who, sign) in [(invocation.from, -1), (invocation.to, 1)] {
        let value = balance_value((1 << 50) + sign * invocation.amount);
        bench.state.change(Key::Balance(invocation.contract, who), &mut changes, |data| {
            if let LedgerEntryData::ContractData(entry) = data {
                entry.val = value;
            }
        });
    }
    if let Some(key) = nonce_key(bench, invocation) {
        changes.extend(remember(bench, key));
    }
    changes
}

/// The nonce's entry and its time to live.
fn remember(bench: &Bench, key: LedgerKeyContractData) -> [LedgerEntryChange; 2] {
    let live_until_ledger_seq = bench.sequence + NONCE_LEDGERS;
    let ttl = TtlEntry { key_hash: hash_of(&LedgerKey::ContractData(key.clone())), live_until_ledger_seq };
    let LedgerKeyContractData { contract, key, durability } = key;
    let nonce = ContractDataEntry { ext: ExtensionPoint::V0, contract, key, durability, val: ScVal::Void };
    [LedgerEntryData::Ttl(ttl), LedgerEntryData::ContractData(nonce)].map(|data| {
        let last_modified_ledger_seq = bench.sequence;
        LedgerEntryChange::Created(LedgerEntry { last_modified_ledger_seq, data, ext: LedgerEntryExt::V0 })
    })
}

fn nonce_key(bench: &Bench, invocation: &Invocation) -> Option<LedgerKeyContractData> {
    let contract = ScAddress::Account(bench.world.account(invocation.from));
    let key = |nonce| ScVal::LedgerKeyNonce(ScNonceKey { nonce });
    let durability = ContractDataDurability::Temporary;
    invocation.nonce.map(|nonce| LedgerKeyContractData { contract, key: key(nonce), durability })
}

fn resources(bench: &mut Bench, invocation: &Invocation) -> SorobanTransactionData {
    let contract = ScAddress::Contract(bench.world.contracts[invocation.contract].clone());
    let code =
        LedgerKey::ContractCode(LedgerKeyContractCode { hash: Hash(bench.world.key(invocation.contract as Who)) });
    let stored =
        |key| LedgerKeyContractData { contract: contract.clone(), key, durability: ContractDataDurability::Persistent };
    let balance = |who| stored(balance_key(bench.world, who));
    let written = [Some(balance(invocation.from)), Some(balance(invocation.to)), nonce_key(bench, invocation)];
    let instance = stored(ScVal::LedgerKeyContractInstance);
    let footprint = LedgerFootprint {
        read_only: list(vec![LedgerKey::ContractData(instance), code]),
        read_write: list(written.into_iter().flatten().map(LedgerKey::ContractData).collect()),
    };
    let mut about = |size: i64| bench.random.within(size, size * 2) as u32;
    let resources = SorobanResources {
        instructions: about(1_000_000),
        disk_read_bytes: about(300),
        write_bytes: about(500),
        footprint,
    };
    SorobanTransactionData { ext: SorobanTransactionDataExt::V0, resources, resource_fee: bench.party.resource_fee }
}

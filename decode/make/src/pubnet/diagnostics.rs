//! What the contract host tells of a call for those who debug: the call, its end, and what it used.
use stellar_xdr::{
    ContractEvent, ContractEventType, ContractId, DiagnosticEvent, InvokeContractArgs, ScBytes, ScError, ScErrorCode,
    ScVal,
};

use crate::pubnet::events::event;
use crate::random::Random;
use crate::xdr::{symbol, vec};

/// The host's meters and about how much they show.
const METERS: [(&str, u64); 19] = [
    ("read_entry", 6),
    ("write_entry", 3),
    ("ledger_read_byte", 400),
    ("ledger_write_byte", 600),
    ("read_key_byte", 500),
    ("write_key_byte", 0),
    ("read_data_byte", 400),
    ("write_data_byte", 600),
    ("read_code_byte", 0),
    ("write_code_byte", 0),
    ("emit_event", 2),
    ("emit_event_byte", 300),
    ("cpu_insn", 1_500_000),
    ("mem_byte", 2_000_000),
    ("invoke_time_nsecs", 400_000),
    ("max_rw_key_byte", 120),
    ("max_rw_data_byte", 300),
    ("max_rw_code_byte", 0),
    ("max_emit_event_byte", 200),
];

/// The events of one call; `end` is its events and what it returned, or that it trapped.
pub fn of_call(
    contract: &ContractId,
    args: &InvokeContractArgs,
    end: Result<(&[ContractEvent], &ScVal), ()>,
    random: &mut Random,
) -> Vec<DiagnosticEvent> {
    let mut told = vec![called(contract, args)];
    match end {
        Ok((events, returned)) => {
            told.extend(events.iter().cloned());
            let topics = vec![symbol("fn_return"), ScVal::Symbol(args.function_name.clone())];
            told.push(event(ContractEventType::Diagnostic, Some(contract), topics, returned.clone()));
        }
        Err(()) => told.extend(trapped(contract)),
    }
    told.extend(METERS.iter().map(|(name, about)| metered(name, about + random.below(about / 4 + 1))));
    let in_successful_contract_call = end.is_ok();
    told.into_iter().map(|event| DiagnosticEvent { in_successful_contract_call, event }).collect()
}

fn called(contract: &ContractId, args: &InvokeContractArgs) -> ContractEvent {
    let id = ScVal::Bytes(ScBytes(contract.0.0.try_into().expect("32 bytes")));
    let topics = vec![symbol("fn_call"), id, ScVal::Symbol(args.function_name.clone())];
    event(ContractEventType::Diagnostic, None, topics, vec(args.args.to_vec()))
}

/// The contract's own error, then the host's that ends the call.
fn trapped(contract: &ContractId) -> [ContractEvent; 2] {
    let (own, host) = (ScVal::Error(ScError::Contract(10)), ScVal::Error(ScError::WasmVm(ScErrorCode::InvalidAction)));
    [(Some(contract), own), (None, host)].map(|(contract, error)| {
        let text = ScVal::String(stellar_xdr::ScString("escalating error to panic".try_into().expect("a short text")));
        event(ContractEventType::Diagnostic, contract, vec![symbol("error"), error], vec(vec![text]))
    })
}

fn metered(name: &str, value: u64) -> ContractEvent {
    let topics = vec![symbol("core_metrics"), symbol(name)];
    event(ContractEventType::Diagnostic, None, topics, ScVal::U64(value))
}

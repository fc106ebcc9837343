//! One file a kind of operation: what it asks, how it ends, what it changes, which events tell of it.
mod balances;
mod invoke;
mod offers;
mod paths;
mod payments;
mod trust;

pub use offers::IDS;
use stellar_xdr::{
    ContractEvent, DiagnosticEvent, MuxedAccount, Operation, OperationBody, OperationResult, OperationResultTr, ScVal,
    SorobanTransactionData, Uint256,
};

use crate::pubnet::mix::Kind;
use crate::pubnet::party::Party;
use crate::pubnet::state::{Changes, State};
use crate::random::Random;
use crate::world::World;

/// What the operations of one transaction share.
pub struct Bench<'b, 'w> {
    pub world: &'w World,
    pub state: &'b mut State<'w>,
    pub random: &'b mut Random,
    pub sequence: u32,
    /// Offers made in this ledger so far; their ids count on from it.
    pub offers: &'b mut i64,
    pub party: &'b Party,
}

/// One operation, carried out.
pub struct Step {
    pub operation: Operation,
    pub result: OperationResult,
    pub changes: Changes,
    pub events: Vec<ContractEvent>,
    pub call: Option<Call>,
}

/// What a contract call adds to its transaction.
pub struct Call {
    pub data: SorobanTransactionData,
    /// What the function returned; `None` where it failed.
    pub returned: Option<ScVal>,
    pub diagnostics: Vec<DiagnosticEvent>,
}

impl Step {
    pub fn new(source: Option<MuxedAccount>, body: OperationBody, result: OperationResultTr) -> Self {
        let operation = Operation { source_account: source, body };
        let result = OperationResult::OpInner(result);
        Self { operation, result, changes: Vec::new(), events: Vec::new(), call: None }
    }
}

impl Bench<'_, '_> {
    /// Carry out all operations of the transaction.
    ///
    /// A failed transaction changes nothing: its steps have results, but neither changes nor events.
    pub fn steps(&mut self) -> Vec<Step> {
        match self.party.intent.kind {
            Kind::Payment => payments::steps(self),
            Kind::ClaimableBalance => balances::steps(self),
            Kind::Offer => offers::steps(self),
            Kind::PathSend => paths::steps(self, true),
            Kind::PathReceive => paths::steps(self, false),
            Kind::Trust => trust::steps(self),
            Kind::Invoke => invoke::steps(self),
        }
    }

    /// The transaction's source spelled out, as every fourth operation does.
    fn spelled_out(&mut self) -> Option<MuxedAccount> {
        let spelled_out = self.random.chance(25);
        spelled_out.then(|| muxed(self.world.key(self.party.source), None))
    }

    /// Any asset, the native one more often than others.
    fn any_coin(&mut self, native_percent: u64) -> usize {
        if self.random.chance(native_percent) {
            return 0;
        }
        1 + self.random.below(self.world.coins.len() as u64 - 1) as usize
    }
}

pub fn muxed(key: [u8; 32], id: Option<u64>) -> MuxedAccount {
    let ed25519 = Uint256(key);
    match id {
        None => MuxedAccount::Ed25519(ed25519),
        Some(id) => MuxedAccount::MuxedEd25519(stellar_xdr::MuxedAccountMed25519 { id, ed25519 }),
    }
}

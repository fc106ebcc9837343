//! Apply a transaction: its envelope, its result and its meta, as the network would write them.
use stellar_xdr::{
    ExtensionPoint, InnerTransactionResult, InnerTransactionResultExt, InnerTransactionResultPair,
    InnerTransactionResultResult, LedgerEntryChanges, OperationMetaV2, OperationResult, SorobanTransactionMetaExt,
    SorobanTransactionMetaExtV1, SorobanTransactionMetaV2, TimePoint, TransactionMeta, TransactionMetaV4,
    TransactionResult, TransactionResultExt, TransactionResultMetaV1, TransactionResultPair, TransactionResultResult,
};

use crate::pubnet::entries::close_time;
use crate::pubnet::envelope::{self, Envelope};
use crate::pubnet::events;
use crate::pubnet::mix::Form;
use crate::pubnet::operations::{Bench, Call, Step};
use crate::pubnet::party::Party;
use crate::pubnet::state::{Changes, State};
use crate::random::Random;
use crate::world::World;
use crate::xdr::list;

/// What one ledger's transactions work on.
pub struct Floor<'w> {
    pub world: &'w World,
    pub sequence: u32,
    pub state: State<'w>,
    pub random: Random,
    /// Offers made so far.
    pub offers: i64,
}

/// A transaction with all that the ledger keeps of it.
pub struct Applied {
    pub envelope: Envelope,
    pub meta: TransactionResultMetaV1,
    pub operation_events: usize,
    pub transaction_events: usize,
}

impl<'w> Floor<'w> {
    /// Take the fee; every transaction's is taken before the first is applied.
    pub fn charge(&mut self, party: &Party) -> Changes {
        let mut changes = Changes::new();
        self.state.account(party.payer, &mut changes, |account| account.balance -= party.charged_before());
        changes
    }

    /// Give back what a call did not use; this comes after the last is applied.
    pub fn refund(&mut self, party: &Party) -> Changes {
        let mut changes = Changes::new();
        if party.refund > 0 {
            self.state.account(party.payer, &mut changes, |account| account.balance += party.refund);
        }
        changes
    }

    /// Apply the transaction, whose operations `steps` carries out; the changes of its refund come later.
    pub fn apply(
        &mut self,
        party: &mut Party,
        fee: Changes,
        steps: impl FnOnce(&mut Self, &Party) -> Vec<Step>,
    ) -> Applied {
        let before = self.start(party);
        let mut steps = steps(self, party);
        let call = steps.iter_mut().find_map(|step| step.call.take());
        let operations = steps.iter().map(|step| step.operation.clone()).collect();
        let data = call.as_ref().map(|call| call.data.clone());
        let closed = close_time(self.sequence);
        let envelope = envelope::seal(self.world, party, operations, data, closed, &mut self.random);
        let results = steps.iter().map(|step| step.result.clone()).collect();
        let operation_events = steps.iter().map(|step| step.events.len()).sum();
        let meta = self.meta(party, before, steps, call);
        let transaction_events = meta.events.len();
        let meta = TransactionResultMetaV1 {
            ext: ExtensionPoint::V0,
            result: result(party, &envelope, results),
            fee_processing: LedgerEntryChanges(list(fee)),
            tx_apply_processing: TransactionMeta::V4(meta),
            post_tx_apply_fee_processing: LedgerEntryChanges(list(Vec::new())),
        };
        Applied { envelope, meta, operation_events, transaction_events }
    }

    /// Use up the source account's sequence number.
    fn start(&mut self, party: &mut Party) -> Changes {
        let mut changes = Changes::new();
        if party.intent.form == Form::FeeBump {
            self.state.account(party.payer, &mut changes, |_| ());
        }
        let sequence = self.sequence;
        self.state.account(party.source, &mut changes, |account| {
            account.seq_num.0 += 1;
            party.sequence = account.seq_num.0;
            note_use(account, sequence);
        });
        changes
    }

    /// Carry out the operations of the transaction's kind.
    pub fn steps(&mut self, party: &Party) -> Vec<Step> {
        Bench {
            world: self.world,
            state: &mut self.state,
            random: &mut self.random,
            sequence: self.sequence,
            offers: &mut self.offers,
            party,
        }
        .steps()
    }

    fn meta(&self, party: &Party, before: Changes, steps: Vec<Step>, call: Option<Call>) -> TransactionMetaV4 {
        let mut told = vec![events::fee(self.world, party.payer, party.charged_before())];
        if party.refund > 0 {
            told.push(events::fee(self.world, party.payer, -party.refund));
        }
        let (soroban_meta, diagnostics) = match call {
            Some(call) => (Some(soroban_meta(party, &call)), call.diagnostics),
            None => (None, Vec::new()),
        };
        // A failed transaction leaves no operation metas, unless it is made to tell of what never happened.
        let tells = steps.iter().any(|step| !step.events.is_empty());
        let kept = if party.intent.successful || tells { steps } else { Vec::new() };
        TransactionMetaV4 {
            ext: ExtensionPoint::V0,
            tx_changes_before: LedgerEntryChanges(list(before)),
            operations: list(kept.into_iter().map(operation_meta).collect()),
            tx_changes_after: LedgerEntryChanges(list(Vec::new())),
            soroban_meta,
            events: list(told),
            diagnostic_events: list(diagnostics),
        }
    }
}

fn note_use(account: &mut stellar_xdr::AccountEntry, sequence: u32) {
    use stellar_xdr::{AccountEntryExt, AccountEntryExtensionV1Ext, AccountEntryExtensionV2Ext};
    if let AccountEntryExt::V1(v1) = &mut account.ext
        && let AccountEntryExtensionV1Ext::V2(v2) = &mut v1.ext
        && let AccountEntryExtensionV2Ext::V3(v3) = &mut v2.ext
    {
        v3.seq_ledger = sequence;
        v3.seq_time = TimePoint(close_time(sequence));
    }
}

fn operation_meta(step: Step) -> OperationMetaV2 {
    let changes = LedgerEntryChanges(list(step.changes));
    OperationMetaV2 { ext: ExtensionPoint::V0, changes, events: list(step.events) }
}

fn soroban_meta(party: &Party, call: &Call) -> SorobanTransactionMetaV2 {
    let spent = party.resource_fee - party.refund;
    let fees = SorobanTransactionMetaExtV1 {
        ext: ExtensionPoint::V0,
        total_non_refundable_resource_fee_charged: spent * 3 / 4,
        total_refundable_resource_fee_charged: spent - spent * 3 / 4,
        rent_fee_charged: spent / 8,
    };
    SorobanTransactionMetaV2 { ext: SorobanTransactionMetaExt::V1(fees), return_value: call.returned.clone() }
}

fn result(party: &Party, envelope: &Envelope, results: Vec<OperationResult>) -> TransactionResultPair {
    let (successful, results) = (party.intent.successful, list(results));
    let result = match &envelope.inner_hash {
        None if successful => TransactionResultResult::TxSuccess(results),
        None => TransactionResultResult::TxFailed(results),
        Some(hash) => {
            let ended = if successful {
                InnerTransactionResultResult::TxSuccess(results)
            } else {
                InnerTransactionResultResult::TxFailed(results)
            };
            let inner = InnerTransactionResult { fee_charged: 0, result: ended, ext: InnerTransactionResultExt::V0 };
            let pair = InnerTransactionResultPair { transaction_hash: hash.clone(), result: inner };
            if successful {
                TransactionResultResult::TxFeeBumpInnerSuccess(pair)
            } else {
                TransactionResultResult::TxFeeBumpInnerFailed(pair)
            }
        }
    };
    let result = TransactionResult { fee_charged: party.charged(), result, ext: TransactionResultExt::V0 };
    TransactionResultPair { transaction_hash: envelope.hash.clone(), result }
}

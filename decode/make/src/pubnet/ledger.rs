//! A whole ledger but for its place in the chain.
use std::borrow::Cow;

use stellar_xdr::{
    ExtensionPoint, Hash, LedgerCloseMetaExt, LedgerCloseMetaExtV1, LedgerCloseValueSignature, LedgerHeader,
    LedgerHeaderExt, LedgerKey, NodeId, PublicKey, ScpHistoryEntry, Signature, StellarValue, StellarValueExt,
    TimePoint, Uint256, UpgradeEntryMeta, VecM,
};

use crate::counts::Counts;
use crate::draft::{Draft, SetKind};
use crate::pubnet::apply::{Applied, Floor};
use crate::pubnet::entries::close_time;
use crate::pubnet::mix::{Intent, Kind};
use crate::pubnet::operations::{IDS, Step};
use crate::pubnet::party::{Party, parties};
use crate::pubnet::state::State;
use crate::random::Random;
use crate::world::{Stream, World};
use crate::xdr::{list, put, put_u32, sha256};

const PROTOCOL: u32 = 26;
/// Bytes of a mean ledger, to begin with.
const USUAL_BYTES: usize = 900_000;

/// Ledger `sequence` with these transactions.
pub fn draft(world: &World, sequence: u32, intents: Vec<Intent>) -> Draft<'static> {
    let mut floor = floor(world, sequence);
    let (calls, classic): (Vec<_>, Vec<_>) = intents.into_iter().partition(|intent| intent.kind == Kind::Invoke);
    let (mut classic, mut calls) = (parties(classic, &mut floor.random), parties(calls, &mut floor.random));
    floor.random.shuffle(&mut classic);
    floor.random.shuffle(&mut calls);
    let border = classic.len();
    classic.append(&mut calls);
    let applied = apply(&mut floor, &mut classic, Floor::steps);
    close(&mut floor, &classic, &applied, border)
}

/// What a ledger's transactions work on, before the first.
pub fn floor(world: &World, sequence: u32) -> Floor<'_> {
    let random = world.random(Stream::Ledger, &[u64::from(sequence)]);
    Floor { world, sequence, state: State::new(world, sequence), random, offers: 0 }
}

/// The ledger of these transactions; those from `border` on are contract calls.
pub fn close(floor: &mut Floor, parties: &[Party], applied: &[Applied], border: usize) -> Draft<'static> {
    let (tail, results) = tail(applied, &mut floor.random);
    Draft {
        lead: Cow::Owned(lead()),
        header: header(floor.world, floor, results),
        set: SetKind::Generalized,
        transactions: Cow::Owned(transactions(applied, border)),
        tail: Cow::Owned(tail),
        fees: Some(parties.iter().map(Party::charged).sum()),
        counts: counts(parties, applied),
        entries: Vec::new(),
    }
}

/// Fees of all, then all transactions, whose operations `steps` carries out, then all refunds.
pub fn apply<'w>(
    floor: &mut Floor<'w>,
    parties: &mut [Party],
    mut steps: impl FnMut(&mut Floor<'w>, &Party) -> Vec<Step>,
) -> Vec<Applied> {
    let fees: Vec<_> = parties.iter().map(|party| floor.charge(party)).collect();
    let each = parties.iter_mut().zip(fees);
    let mut applied: Vec<Applied> = each.map(|(party, fee)| floor.apply(party, fee, &mut steps)).collect();
    for (party, applied) in parties.iter().zip(&mut applied) {
        applied.meta.post_tx_apply_fee_processing.0 = list(floor.refund(party));
    }
    applied
}

fn lead() -> Vec<u8> {
    let mut out = Vec::new();
    let ext = LedgerCloseMetaExtV1 { ext: ExtensionPoint::V0, soroban_fee_write1_kb: 5_000 };
    put(&mut out, &2u32);
    put(&mut out, &LedgerCloseMetaExt::V1(ext));
    out
}

/// The two phases of the transaction set: classic transactions for one base fee, contract calls side by side.
fn transactions(applied: &[Applied], border: usize) -> Vec<u8> {
    let (classic, calls) = applied.split_at(border);
    let mut out = Vec::with_capacity(USUAL_BYTES / 4);
    put_u32(&mut out, 2);
    put_u32(&mut out, 0);
    put_u32(&mut out, usize::from(border > 0));
    if border > 0 {
        put_u32(&mut out, 0);
        put(&mut out, &Some(100i64));
        put_envelopes(&mut out, classic.iter());
    }
    put_u32(&mut out, 1);
    put(&mut out, &Some(100i64));
    put_stages(&mut out, calls);
    out
}

/// One stage, with calls that do not touch the same entries in clusters of their own.
fn put_stages(out: &mut Vec<u8>, calls: &[Applied]) {
    put_u32(out, usize::from(!calls.is_empty()));
    if calls.is_empty() {
        return;
    }
    let clusters = calls.len().min(2);
    put_u32(out, clusters);
    for cluster in 0..clusters {
        put_envelopes(out, calls.iter().skip(cluster).step_by(clusters));
    }
}

fn put_envelopes<'a>(out: &mut Vec<u8>, applied: impl Iterator<Item = &'a Applied>) {
    let mut envelopes: Vec<_> = applied.map(|applied| &applied.envelope).collect();
    envelopes.sort_by_key(|envelope| envelope.order);
    put_u32(out, envelopes.len());
    for envelope in envelopes {
        out.extend_from_slice(&envelope.bytes);
    }
}

/// What follows the transaction set, and the hash of all results.
fn tail(applied: &[Applied], random: &mut Random) -> (Vec<u8>, [u8; 32]) {
    let mut out = Vec::with_capacity(USUAL_BYTES);
    let mut results = Vec::with_capacity(USUAL_BYTES / 10);
    put_u32(&mut out, applied.len());
    put_u32(&mut results, applied.len());
    for applied in applied {
        put(&mut out, &applied.meta);
        put(&mut results, &applied.meta.result);
    }
    put(&mut out, &VecM::<UpgradeEntryMeta>::default());
    put(&mut out, &VecM::<ScpHistoryEntry>::default());
    put(&mut out, &(900_000_000 + random.below(1_000_000)));
    put(&mut out, &VecM::<LedgerKey>::default());
    (out, sha256(&[&results]))
}

fn header(world: &World, floor: &Floor, results: [u8; 32]) -> LedgerHeader {
    let sequence = floor.sequence;
    let mut random = world.random(Stream::Empty, &[u64::from(sequence)]);
    let age = |step: u32| Hash(world.random(Stream::Skip, &[u64::from(step), u64::from(sequence / step)]).bytes());
    LedgerHeader {
        ledger_version: PROTOCOL,
        previous_ledger_hash: Hash([0; 32]),
        scp_value: agreed(sequence, &mut random),
        tx_set_result_hash: Hash(results),
        bucket_list_hash: Hash(random.bytes()),
        ledger_seq: sequence,
        total_coins: 500_018_068_120_175_000,
        fee_pool: 0,
        inflation_seq: 1000,
        id_pool: (i64::from(sequence) * IDS + floor.offers) as u64,
        base_fee: 100,
        base_reserve: 5_000_000,
        max_tx_set_size: 1000,
        skip_list: [50, 5_000, 50_000, 500_000].map(age),
        ext: LedgerHeaderExt::V0,
    }
}

/// What the validators agreed on, signed (with noise) by one of twenty.
fn agreed(sequence: u32, random: &mut Random) -> StellarValue {
    let node: [u8; 32] = Random::of(&[random.below(20)]).bytes();
    let noise: [u8; 64] = random.bytes();
    let signed = LedgerCloseValueSignature {
        node_id: NodeId(PublicKey::PublicKeyTypeEd25519(Uint256(node))),
        signature: Signature(noise.try_into().expect("64 bytes")),
    };
    StellarValue {
        tx_set_hash: Hash([0; 32]),
        close_time: TimePoint(close_time(sequence)),
        upgrades: VecM::default(),
        ext: StellarValueExt::Signed(signed),
    }
}

fn counts(parties: &[Party], applied: &[Applied]) -> Counts {
    let sum = |of: fn(&Applied) -> usize| applied.iter().map(|applied| of(applied) as u64).sum();
    Counts {
        ledgers: 1,
        transactions: parties.len() as u64,
        successful: parties.iter().filter(|party| party.intent.successful).count() as u64,
        operations: parties.iter().map(|party| party.intent.operations as u64).sum(),
        operation_events: sum(|applied| applied.operation_events),
        transaction_events: sum(|applied| applied.transaction_events),
    }
}

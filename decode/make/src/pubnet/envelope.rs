//! Envelopes: a transaction in one of its forms, signed, and hashed as the network hashes it.
use stellar_xdr::{
    BytesM, DecoratedSignature, Duration, EnvelopeType, FeeBumpTransaction, FeeBumpTransactionEnvelope,
    FeeBumpTransactionExt, FeeBumpTransactionInnerTx, Hash, MuxedAccount, Operation, Preconditions, PreconditionsV2,
    SequenceNumber, Signature, SignatureHint, SorobanTransactionData, TimeBounds, TimePoint, Transaction,
    TransactionEnvelope, TransactionExt, TransactionV0, TransactionV0Envelope, TransactionV0Ext, TransactionV1Envelope,
    Uint256, VecM,
};

use super::operations::muxed;
use crate::pubnet::mix::{Form, Kind};
use crate::pubnet::party::Party;
use crate::random::Random;
use crate::world::World;
use crate::xdr::{list, sha256, xdr};

/// An envelope as the transaction set holds it.
pub struct Envelope {
    pub bytes: Vec<u8>,
    /// Transaction sets are sorted by the hash of the whole envelope.
    pub order: [u8; 32],
    pub hash: Hash,
    /// The inner transaction's, of a fee bump.
    pub inner_hash: Option<Hash>,
}

/// Write and sign the transaction of `party`.
pub fn seal(
    world: &World,
    party: &Party,
    operations: Vec<Operation>,
    data: Option<SorobanTransactionData>,
    closed: u64,
    random: &mut Random,
) -> Envelope {
    let muxed_id = (party.intent.form == Form::Muxed).then(|| random.below(1 << 20));
    let tx = Transaction {
        source_account: muxed(world.key(party.source), muxed_id),
        fee: party.bid(random),
        seq_num: SequenceNumber(party.sequence),
        cond: conditions(party, closed, random),
        memo: party.memo.clone(),
        operations: list(operations),
        ext: data.map_or(TransactionExt::V0, TransactionExt::V1),
    };
    match party.intent.form {
        Form::Plain | Form::Muxed => {
            let hash = tagged(world, EnvelopeType::Tx, &xdr(&tx));
            let signatures = signatures(world, party, random);
            finish(TransactionEnvelope::Tx(TransactionV1Envelope { tx, signatures }), hash, None)
        }
        Form::FeeBump => bump(world, party, tx, random),
        Form::Legacy => legacy(world, party, tx, random),
    }
}

fn bump(world: &World, party: &Party, tx: Transaction, random: &mut Random) -> Envelope {
    let inner_hash = tagged(world, EnvelopeType::Tx, &xdr(&tx));
    let fee = i64::from(tx.fee) + 100;
    let tx = FeeBumpTransaction {
        fee_source: muxed(world.key(party.payer), None),
        fee,
        inner_tx: FeeBumpTransactionInnerTx::Tx(TransactionV1Envelope {
            tx,
            signatures: signatures(world, party, random),
        }),
        ext: FeeBumpTransactionExt::V0,
    };
    let hash = tagged(world, EnvelopeType::TxFeeBump, &xdr(&tx));
    let signatures = list(vec![signature(world.key(party.payer), random)]);
    finish(TransactionEnvelope::TxFeeBump(FeeBumpTransactionEnvelope { tx, signatures }), hash, Some(inner_hash))
}

/// As old wallets write it; it is hashed as the current form that it stands for.
fn legacy(world: &World, party: &Party, tx: Transaction, random: &mut Random) -> Envelope {
    let cond = Preconditions::Time(bounds(party.sequence as u64 % 2));
    let tx = Transaction { cond, ..tx };
    let hash = tagged(world, EnvelopeType::Tx, &xdr(&tx));
    let (MuxedAccount::Ed25519(Uint256(key)), Preconditions::Time(bounds)) = (tx.source_account, tx.cond) else {
        unreachable!("a legacy transaction has a plain source")
    };
    let tx = TransactionV0 {
        source_account_ed25519: Uint256(key),
        fee: tx.fee,
        seq_num: tx.seq_num,
        time_bounds: Some(bounds),
        memo: tx.memo,
        operations: tx.operations,
        ext: TransactionV0Ext::V0,
    };
    let signatures = signatures(world, party, random);
    finish(TransactionEnvelope::TxV0(TransactionV0Envelope { tx, signatures }), hash, None)
}

fn finish(envelope: TransactionEnvelope, hash: Hash, inner_hash: Option<Hash>) -> Envelope {
    let bytes = xdr(&envelope);
    Envelope { order: sha256(&[&bytes]), bytes, hash, inner_hash }
}

fn tagged(world: &World, tag: EnvelopeType, tx: &[u8]) -> Hash {
    Hash(sha256(&[&world.network, &(tag as i32).to_be_bytes(), tx]))
}

fn bounds(max_time: u64) -> TimeBounds {
    TimeBounds { min_time: TimePoint(0), max_time: TimePoint(max_time) }
}

fn conditions(party: &Party, closed: u64, random: &mut Random) -> Preconditions {
    let until = closed + 5 + random.below(60);
    match random.below(100) {
        0..3 => Preconditions::None,
        // Bots bind their offers to what they have seen.
        3..32 if party.intent.kind != Kind::Payment => Preconditions::V2(PreconditionsV2 {
            time_bounds: Some(bounds(until)),
            ledger_bounds: None,
            min_seq_num: None,
            min_seq_age: Duration(0),
            min_seq_ledger_gap: 0,
            extra_signers: VecM::default(),
        }),
        _ => Preconditions::Time(bounds(until)),
    }
}

fn signatures(world: &World, party: &Party, random: &mut Random) -> VecM<DecoratedSignature, 20> {
    let mut signed = vec![signature(world.key(party.source), random)];
    if random.chance(45) {
        let cosigner = random.bytes();
        signed.push(signature(cosigner, random));
    }
    list(signed)
}

/// Nobody holds the keys, so a signature is noise of the right size.
fn signature(key: [u8; 32], random: &mut Random) -> DecoratedSignature {
    let hint = SignatureHint([key[28], key[29], key[30], key[31]]);
    let noise: [u8; 64] = random.bytes();
    DecoratedSignature { hint, signature: Signature(BytesM::try_from(noise).expect("64 bytes")) }
}

//! The walk and the typed decoder agree: on real ledgers, in what they read; on damaged ones, in what they refuse.
use crate::files::{Real, real};
use crate::reference::Tables;
use _decode::chunk::{Decoder, Object, Request};
use _decode::ledger::Ledger;
use _decode::prove::network_id;
use _decode::walk::walk;
use std::collections::HashMap;
use std::io::Cursor;
use stellar_xdr::{LedgerCloseMeta, Limited, Limits, ReadXdr, WriteXdr};

const PASSPHRASES: [&str; 4] = [
    "Public Global Stellar Network ; September 2015",
    "Test SDF Network ; September 2015",
    "(V) (;,,;) (V)",
    "Apply Load",
];

/// What the typed decoder makes of the bytes, and how many of them it takes.
fn typed(bytes: &[u8]) -> Option<(LedgerCloseMeta, usize)> {
    let limits = Limits { depth: 10_000, len: bytes.len() };
    let mut reader = Limited::new(Cursor::new(bytes), limits);
    let value = LedgerCloseMeta::read_xdr(&mut reader).ok()?;
    Some((value, reader.inner.position() as usize))
}

fn passphrase(file: &str) -> &'static str {
    let wanted = ["pubnet", "testnet", "core-", "load-"];
    PASSPHRASES[wanted.iter().position(|part| file.contains(part)).expect("a known file")]
}

#[test]
fn the_walk_ends_where_the_typed_decoder_ends_on_every_real_ledger() {
    let mut ledger = Ledger::default();
    for Real { file, bytes } in real() {
        let (_, end) = typed(&bytes).expect("a sound ledger");
        assert_eq!(walk(&bytes, &mut ledger), Ok(end), "{file}");
    }
}

#[test]
fn rows_are_those_of_the_typed_decoder_on_every_real_ledger() {
    let mut tables = Tables::default();
    for Real { file, bytes } in real() {
        let (value, _) = typed(&bytes).expect("a sound ledger");
        tables.start();
        let reference = tables.add(&value, &network_id(passphrase(&file)));
        let sequence = sequence(&value);
        let objects = [Object { name: &file, first: sequence, last: sequence, bytes: &bytes }];
        let request = Request { first: sequence, last: sequence, objects: &objects, framed: true };
        let mut decoder = Decoder::new(passphrase(&file), HashMap::new(), usize::MAX);
        let mut chunk = decoder.chunk(request);
        assert_eq!(chunk.error.is_none(), reference.is_ok(), "{file} {sequence}: {:?} {reference:?}", chunk.error);
        if let Ok(mismatches) = reference {
            let mut written = Vec::new();
            decoder.write(&mut chunk, &mut written).expect("memory takes it");
            tables.streams.iter_mut().for_each(|stream| stream.end());
            let wanted: Vec<u8> = tables.streams.iter().flat_map(|stream| stream.bytes().to_vec()).collect();
            assert!(written == wanted, "{file} {sequence}: rows differ");
            assert_eq!(chunk.event_hash_mismatches, mismatches);
        }
    }
}

fn sequence(value: &LedgerCloseMeta) -> u32 {
    match value {
        LedgerCloseMeta::V0(v) => v.ledger_header.header.ledger_seq,
        LedgerCloseMeta::V1(v) => v.ledger_header.header.ledger_seq,
        LedgerCloseMeta::V2(v) => v.ledger_header.header.ledger_seq,
    }
}

/// SplitMix64: the same numbers everywhere, without a dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Damages a ledger in one place: a word, a bit, a missing or a doubled part, a cut end.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let word = random.below(bytes.len() / 4) * 4;
    match random.below(8) {
        0 => bytes[word..word + 4].copy_from_slice(&(random.next() as u32).to_be_bytes()),
        1 => bytes[word..word + 4].copy_from_slice(&u32::MAX.to_be_bytes()),
        2 => bytes[word..word + 4].copy_from_slice(&(random.below(30) as u32).to_be_bytes()),
        3 => bytes[word + 3] ^= 1 << random.below(8),
        4 => bytes[word + random.below(4)] ^= 1 << random.below(8),
        5 => bytes.truncate(word),
        6 => drop(bytes.drain(word..word + 4)),
        _ => {
            let other = random.below(bytes.len() / 4) * 4;
            bytes.copy_within(other..other + 4, word);
        }
    }
}

/// Holds both decoders against each other; returns whether the walk accepts.
fn compare(bytes: &[u8], ledger: &mut Ledger, what: &str) -> bool {
    let walked = walk(bytes, ledger);
    match (typed(bytes), &walked) {
        (Some((value, end)), Ok(length)) => {
            assert_eq!(end, *length, "{what}");
            let again = value.to_xdr(Limits::none()).expect("memory takes it");
            assert!(again == bytes[..end], "{what}: the walk accepts what is not canonical");
        }
        // the one known difference: the typed decoder reads any boolean but 1 as false
        (Some((value, end)), Err(fault)) => {
            assert_eq!(fault.expected, "a boolean, 0 or 1", "{what}: only the walk refuses: {fault:?}");
            let again = value.to_xdr(Limits::none()).expect("memory takes it");
            assert!(again != bytes[..end], "{what}: the bytes were canonical");
        }
        (None, Ok(_)) => panic!("{what}: only the typed decoder refuses"),
        (None, Err(fault)) => assert!(fault.at <= bytes.len(), "{what}: the place lies in the ledger"),
    }
    walked.is_ok()
}

#[test]
fn the_walk_refuses_what_the_typed_decoder_refuses_on_damaged_ledgers() {
    let ledgers: Vec<Real> = real().into_iter().filter(|real| real.bytes.len() < 60_000).collect();
    if ledgers.is_empty() {
        return;
    }
    let (mut ledger, mut random) = (Ledger::default(), Random(7));
    let mut accepted = 0;
    let rounds = 100_000;
    for round in 0..rounds {
        let real = &ledgers[random.below(ledgers.len())];
        let mut bytes = real.bytes.clone();
        for _ in 0..=random.below(3) {
            if bytes.len() >= 8 {
                damage(&mut bytes, &mut random);
            }
        }
        accepted += usize::from(compare(&bytes, &mut ledger, &format!("{} in round {round}", real.file)));
    }
    assert!(accepted > rounds / 20, "{accepted} accepted: the damage never hits plain data");
    assert!(accepted < rounds * 19 / 20, "{accepted} accepted: the damage never hits structure");
}

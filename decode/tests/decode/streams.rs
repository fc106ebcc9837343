//! The index of a record-marked stream: what it says, and what ends it early.
use crate::built::{chain, xdr};
use _decode::fault::CorruptLedger;
use _decode::stream::{Indexed, Unindexed, index_stream};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that goes when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(bytes: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ledgerfill-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("still there");
    }
}

type Index = (Result<Indexed, CorruptLedger>, Vec<(u64, u64, u32)>, Vec<u8>);

fn index(bytes: &[u8]) -> Index {
    let file = Temporary::new(bytes);
    let (mut index, mut spool) = (Vec::new(), Vec::new());
    let result = index_stream(file.0.to_str().expect("a plain name"), &mut index, &mut spool, 1 << 20);
    let result = result.map_err(|error| match error {
        Unindexed::Corrupt(error) => error,
        Unindexed::Io(error) => panic!("{error}"),
    });
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let records = index.chunks(24).map(|r| (number(&r[..8]), number(&r[8..16]), number(&r[16..]) as u32)).collect();
    (result, records, spool)
}

fn marked(ledgers: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for ledger in ledgers {
        out.extend_from_slice(&(ledger.len() as u32 | 1 << 31).to_be_bytes());
        out.extend_from_slice(ledger);
    }
    out
}

fn ledgers(first: u32, count: u32) -> Vec<Vec<u8>> {
    chain(first, count).iter().map(xdr).collect()
}

fn numbers(records: &[(u64, u64, u32)]) -> Vec<u32> {
    records.iter().map(|record| record.2).collect()
}

#[test]
fn plain_and_zstd_streams_have_the_same_index() {
    let ledgers = ledgers(7, 200);
    let plain = marked(&ledgers);
    let (result, records, spool) = index(&plain);
    let indexed = result.expect("an index");
    assert_eq!((indexed.first, indexed.last, indexed.error, spool.len()), (7, 206, None, 0));
    for ((offset, length, number), (ledger, expected)) in records.iter().zip(ledgers.iter().zip(7..)) {
        assert_eq!(&plain[*offset as usize..(offset + length) as usize], &ledger[..]);
        assert_eq!(*number, expected);
    }
    let (result, again, spool) = index(&zstd::encode_all(&plain[..], 3).expect("memory takes it"));
    assert_eq!(result.expect("an index").error, None);
    assert!(again == records && spool == plain);
}

#[test]
fn a_record_counts_under_the_ledger_that_its_header_proves() {
    let mut some = ledgers(7, 5);
    some.remove(2);
    some[1][10] ^= 1;
    let (result, records, _) = index(&marked(&some));
    assert_eq!(numbers(&records), [7, 8, 10, 11]);
    assert_eq!(result.expect("an index").last, 11);
}

#[test]
fn records_that_prove_nothing_before_the_first_that_does_count_back_from_it() {
    let mut some = ledgers(7, 4);
    some[0][3] = 9;
    some[1].clear();
    let (result, records, _) = index(&marked(&some));
    assert_eq!(numbers(&records), [7, 8, 9, 10]);
    assert_eq!(result.expect("an index").first, 7);
    let (result, ..) = index(&marked(&[vec![], vec![], ledgers(2, 1).remove(0)]));
    assert_eq!(result.expect_err("ledger 0").fault.expected, "ledgers that count from 1");
}

/// The error at the end of a stream of ledgers 7 to 9 to which something was done.
fn broken(change: impl Fn(Vec<u8>) -> Vec<u8>) -> (String, Vec<u32>) {
    let (result, records, _) = index(&change(marked(&ledgers(7, 3))));
    let error = result.expect("an index").error.expect("an error");
    assert!(error.container);
    (error.to_string(), numbers(&records))
}

#[test]
fn a_damaged_end_keeps_the_ledgers_before_it() {
    let end = marked(&ledgers(7, 3)).len();
    let (text, numbers) = broken(|bytes| bytes[..end - 1].to_vec());
    assert!(text.contains("corrupt ledger 9 in ") && text.contains("bytes of a record, found the end after"), "{text}");
    assert_eq!(numbers, [7, 8]);
    let (text, numbers) = broken(|bytes| [bytes, vec![0x80, 0]].concat());
    assert!(text.contains("ledger 10 in ") && text.contains(&format!("at byte {end}: expected 4 bytes")), "{text}");
    assert_eq!(numbers, [7, 8, 9]);
    let (text, _) = broken(|bytes| [bytes, vec![0, 0, 0, 4, 0, 0, 0, 0]].concat());
    assert!(text.ends_with("expected the mark of a record in one fragment, found 0x00000004"), "{text}");
    let (text, _) = broken(|bytes| [bytes, vec![0xff; 4]].concat());
    assert!(text.ends_with("expected a record of at most 1048576 bytes, found 2147483647"), "{text}");
    for again in [8, 9] {
        let (text, _) = broken(|bytes| [bytes, marked(&ledgers(again, 1))].concat());
        assert!(text.ends_with(&format!("expected ledger 10 or a later one, found ledger {again}")), "{text}");
    }
}

#[test]
fn a_damaged_zstd_end_keeps_the_ledgers_before_it() {
    let pack = |bytes: Vec<u8>| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
        let middle = bytes.len() * 2 / 3 + 8;
        encoder.write_all(&bytes[..middle]).expect("memory takes it");
        encoder.flush().expect("memory takes it");
        encoder.write_all(&bytes[middle..]).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    };
    let (text, numbers) = broken(|bytes| {
        let packed = pack(bytes);
        packed[..packed.len() - 4].to_vec()
    });
    assert!(text.contains("ledger 9 in") && text.contains("the end of the zstd frame"), "{text}");
    assert_eq!(numbers, [7, 8]);
    let (text, numbers) = broken(|bytes| [pack(bytes), b"junk".to_vec()].concat());
    assert!(text.ends_with("expected the end of the file after one zstd frame, found more bytes"), "{text}");
    assert_eq!(numbers, [7, 8, 9]);
    let (text, numbers) = broken(|bytes| {
        let mut packed = pack(bytes);
        let last = packed.len() - 3;
        packed.splice(last.., [0x07, 0xff, 0xff]); // in the last block, which holds the end of ledger 9
        packed
    });
    assert!(text.contains("corrupt ledger 9 in") && text.contains("expected a sound zstd frame"), "{text}");
    assert_eq!(numbers, [7, 8]);
}

#[test]
fn a_stream_without_a_sound_record_has_no_index() {
    for (bytes, expected) in [
        (vec![], "a ledger whose header hashes to its hash"),
        (marked(&[vec![1; 80]]), "a ledger whose header hashes to its hash"),
        (b"text".to_vec(), "the mark of a record in one fragment"),
        (vec![0x80], "4 bytes of a record"),
    ] {
        let error = index(&bytes).0.expect_err("no index");
        assert_eq!((error.ledger, error.container), (0, true));
        assert_eq!(error.fault.expected, expected);
        assert!(error.to_string().starts_with("corrupt stream "));
    }
}

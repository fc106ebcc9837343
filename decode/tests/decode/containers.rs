//! Objects that are damaged, cut, too big, or hold something else than their name says.
use crate::built::{PASSPHRASE, batch, chain, xdr};
use crate::driver::{run, run_with};
use _decode::chunk::{Decoder, Object, Request};
use std::collections::HashMap;
use std::io::Write;
use stellar_xdr::LedgerCloseMeta;
use zstd::zstd_safe::{CCtx, CParameter};

fn stored(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).expect("memory takes it")
}

fn object() -> (Vec<LedgerCloseMeta>, Vec<u8>) {
    let ledgers = chain(8, 4);
    let plain = batch(&ledgers, 8, 11);
    (ledgers, plain)
}

/// The error of one stored object that should hold ledgers 8 to 11, and how many ledgers were sound before it.
fn refused(stored: &[u8]) -> (String, bool, u32, usize) {
    let ran = run(8, 11, &[(8, 11, stored)], false);
    let error = ran.error();
    (error.to_string(), error.container, ran.chunk.ledgers, error.fault.at)
}

#[test]
fn a_range_may_begin_and_end_inside_an_object() {
    let (ledgers, plain) = object();
    let whole = run(8, 11, &[(8, 11, &stored(&plain))], false);
    assert_eq!((whole.chunk.ledgers, whole.chunk.error), (4, None));
    let part = run(9, 10, &[(8, 11, &stored(&plain))], false);
    assert_eq!((part.chunk.ledgers, part.chunk.error), (2, None));
    assert_eq!(part.chunk.previous_hash, Some(crate::built::hash_of(&ledgers[0]).0));
    assert_eq!(part.chunk.last_hash, Some(crate::built::hash_of(&ledgers[2]).0));
    assert_eq!(part.chunk.sections[0].1, 2);
}

#[test]
fn a_ledger_outside_the_range_is_checked_all_the_same() {
    let (mut ledgers, _) = object();
    ledgers[3] = chain(40, 1).remove(0);
    let ran = run(9, 10, &[(8, 11, &stored(&batch(&ledgers, 8, 11)))], false);
    assert_eq!((ran.chunk.ledgers, ran.error().ledger), (2, 11));
}

#[test]
fn the_head_of_a_batch_has_to_cover_the_name() {
    let (ledgers, _) = object();
    let heads = [((9, 11), 0, "startSequence 8"), ((8, 12), 4, "endSequence 11")];
    for ((first, last), at, expected) in heads {
        let (text, container, sound, offset) = refused(&stored(&batch(&ledgers, first, last)));
        assert!(text.contains(&format!("ledger 8 in built at byte {at}: expected {expected} of the batch")), "{text}");
        assert_eq!((container, sound, offset), (true, 0, at));
    }
    let (text, _, _, at) = refused(&stored(&batch(&ledgers[..3], 8, 11)));
    assert_eq!(at, 8);
    assert!(text.ends_with("expected count 4 of the batch, found 3"), "{text}");
}

#[test]
fn bytes_after_the_last_ledger_are_refused() {
    let (_, mut plain) = object();
    let end = plain.len();
    plain.extend_from_slice(&[0; 4]);
    let (text, container, sound, at) = refused(&stored(&plain));
    assert!(text.ends_with("expected the end of the object, found 4 more bytes"), "{text}");
    assert_eq!((container, sound, at), (true, 3, end));
    let mut framed = xdr(&chain(8, 1)[0]);
    let end = framed.len();
    framed.push(0);
    let ran = run(8, 8, &[(8, 8, &framed)], true);
    assert_eq!((ran.error().container, ran.error().fault.at, ran.chunk.ledgers), (false, end, 0));
}

#[test]
fn a_batch_that_ends_early_names_the_ledger_that_lacks() {
    let (_, plain) = object();
    let (text, container, sound, _) = refused(&stored(&plain[..plain.len() - 4]));
    assert!(text.starts_with("corrupt ledger 11 in built at byte"), "{text}");
    assert_eq!((container, sound), (false, 3));
}

#[test]
fn damage_of_a_container_names_the_first_ledger_that_is_wanted_of_it() {
    let (_, plain) = object();
    let whole = stored(&plain);
    let ran = run(9, 10, &[(8, 11, &whole[..whole.len() - 1])], false);
    assert_eq!((ran.error().ledger, ran.error().container), (9, true));
}

#[test]
fn a_cut_frame_is_refused_at_every_length() {
    let (_, plain) = object();
    let whole = stored(&plain);
    for length in 0..whole.len() {
        let (text, container, sound, _) = refused(&whole[..length]);
        assert!(text.contains("expected a whole zstd frame") || text.contains("expected a zstd frame"), "{text}");
        assert_eq!((container, sound), (true, 0));
    }
}

#[test]
fn a_second_frame_or_junk_after_the_first_is_refused() {
    let (_, plain) = object();
    let whole = stored(&plain);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    for after in [&whole[..], b"junk", &skippable, &[0]] {
        let (text, _, sound, _) = refused(&[&whole, after].concat());
        assert!(text.contains("expected one zstd frame and nothing after it"), "{text}");
        assert_eq!(sound, 0);
    }
    let (text, ..) = refused(&[&skippable, &whole[..]].concat());
    assert!(text.contains("expected a zstd frame"), "{text}");
}

#[test]
fn a_changed_byte_fails_the_checksum() {
    let (_, plain) = object();
    let mut context = CCtx::create();
    context.set_parameter(CParameter::ChecksumFlag(true)).expect("a parameter");
    let mut whole = Vec::with_capacity(plain.len() + 1024);
    context.compress2(&mut whole, &plain).expect("memory takes it");
    assert_eq!(run(8, 11, &[(8, 11, &whole)], false).chunk.error, None);
    let last = whole.len() - 1;
    whole[last] ^= 1;
    let (text, container, ..) = refused(&whole);
    assert!(text.contains("expected a sound zstd frame"), "{text}");
    assert!(container);
}

#[test]
fn a_bomb_is_stopped_whatever_its_header_says() {
    let most = 1 << 20;
    let plain = vec![0; 64 * most];
    let mut announced = Vec::with_capacity(1 << 20);
    CCtx::create().compress2(&mut announced, &plain).expect("memory takes it");
    let mut silent = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    silent.write_all(&plain).expect("memory takes it");
    for bomb in [announced, silent.finish().expect("memory takes it")] {
        let (text, _, _, at) = refused(&bomb);
        assert!(text.ends_with("expected at most 1048576 plain bytes in an object, found more"), "{text}");
        assert_eq!(at, most);
    }
}

#[test]
fn a_header_that_lies_about_the_size_is_refused() {
    let (_, plain) = object();
    let mut whole = Vec::with_capacity(1 << 16);
    CCtx::create().compress2(&mut whole, &plain).expect("memory takes it");
    assert_eq!(whole[4] & 0xe0, 0x60, "a single segment with a size of two bytes, 256 less");
    for lie in [plain.len() as u16 - 257, plain.len() as u16 - 255] {
        whole[5..7].copy_from_slice(&lie.to_le_bytes());
        let (text, ..) = refused(&whole);
        assert!(text.contains("expected a sound zstd frame"), "{text}");
    }
}

#[test]
fn a_window_above_128_mib_is_refused() {
    let (_, plain) = object();
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.write_all(&plain).expect("memory takes it");
    encoder.flush().expect("memory takes it"); // so that the size is not known at the start
    let mut whole = encoder.finish().expect("memory takes it");
    assert_eq!(whole[4] & 0x20, 0, "a frame with a window of its own");
    whole[5] = 17 << 3;
    assert_eq!(run(8, 11, &[(8, 11, &whole)], false).chunk.error, None, "128 MiB are fine");
    for window in [(17 << 3) | 1, 18 << 3, 20 << 3] {
        whole[5] = window;
        let (text, ..) = refused(&whole);
        assert!(text.contains("expected a zstd window of at most 128 MiB"), "{text}");
    }
}

#[test]
fn a_decoder_goes_on_after_a_bad_object() {
    let (_, plain) = object();
    let whole = stored(&plain);
    let mut decoder = Decoder::new(PASSPHRASE, HashMap::new(), 1 << 20);
    for bytes in [&whole[..whole.len() / 2], b"", &whole] {
        let objects = [Object { name: "built", first: 8, last: 11, bytes }];
        let chunk = decoder.chunk(Request { first: 8, last: 11, objects: &objects, framed: false });
        assert_eq!(chunk.error.is_none(), bytes.len() == whole.len());
    }
}

#[test]
fn objects_that_do_not_cover_the_range_are_the_callers_mistake() {
    let objects = |spans: &[(u32, u32)]| -> Vec<Object<'static>> {
        spans.iter().map(|(first, last)| Object { name: "", first: *first, last: *last, bytes: &[] }).collect()
    };
    let mistake =
        |first, last, spans: &[(u32, u32)], framed| Request { first, last, objects: &objects(spans), framed }.mistake();
    assert_eq!(mistake(8, 11, &[(8, 9), (10, 11)], false), None);
    assert_eq!(mistake(8, 11, &[], false), Some("no objects"));
    assert_eq!(mistake(0, 11, &[(0, 11)], false), Some("no range of ledgers"));
    assert_eq!(mistake(8, 1 << 31, &[(8, 1 << 31)], false), Some("no range of ledgers"));
    assert_eq!(mistake(8, 11, &[(10, 11), (8, 9)], false), Some("the objects are not in ascending order"));
    assert_eq!(mistake(8, 11, &[(8, 9)], false), Some("the objects do not cover the range"));
    assert_eq!(mistake(8, 11, &[(9, 11)], false), Some("the objects do not cover the range"));
    assert_eq!(mistake(8, 11, &[(8, 11)], true), Some("a framed object holds one ledger"));
}

#[test]
fn a_framed_ledger_above_the_limit_is_refused() {
    let ledger = xdr(&chain(8, 1)[0]);
    let decoder = Decoder::new(PASSPHRASE, HashMap::new(), ledger.len() - 1);
    let ran = run_with(decoder, 8, 8, &[(8, 8, &ledger)], true);
    assert!(ran.error().container);
}

//! Read the objects of a lake with the typed decoder, prove each ledger, and take it apart into a draft.
use std::borrow::Cow;
use std::fmt::Display;
use std::io::{Cursor, Read};

use stellar_xdr::{LedgerCloseMeta, Limited, Limits, ReadXdr};

use crate::draft::Draft;
use crate::error::{CorruptSource, MakeError};
use crate::parts::{Parts, parts};
use crate::xdr::{sha256, xdr};

/// Plain bytes of one object, at most.
const MAX_OBJECT: u64 = 256 << 20;
/// The nesting that stellar-core allows.
const MAX_DEPTH: u32 = 1_500;

/// Where reading has come to: what an error names.
struct Place<'a> {
    object: &'a str,
    ledger: u32,
    /// Where the ledger starts in the plain object; `None` outside of ledgers.
    start: Option<u64>,
}

impl Place<'_> {
    fn error(&self, at: u64, expected: impl Into<String>, found: impl Display) -> CorruptSource {
        CorruptSource {
            object: self.object.into(),
            ledger: self.ledger,
            offset: at - self.start.unwrap_or(0),
            expected: expected.into(),
            found: found.to_string(),
            container: self.start.is_none(),
        }
    }
}

/// All ledgers of all objects, in the order given; at most `max_bytes` plain ones, as they are held in memory.
pub fn read_all(
    objects: &[(&str, &[u8])],
    passphrase: &str,
    max_bytes: usize,
) -> Result<Vec<Draft<'static>>, MakeError> {
    let network = sha256(&[passphrase.as_bytes()]);
    let mut drafts = Vec::new();
    let mut bytes = 0;
    for (name, data) in objects {
        let plain = plain(name, data)?;
        bytes += plain.len();
        if bytes > max_bytes {
            return Err(MakeError::argument(format!("the ledgers to repeat have more than {max_bytes} plain bytes")));
        }
        read_object(name, &plain, &network, &mut drafts)?;
    }
    Ok(drafts)
}

/// The first ledger that an object's key promises; 0 where the name is no key.
fn promised(object: &str) -> u32 {
    let number = object.rsplit_once("--").map_or("", |(_, rest)| rest);
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().unwrap_or(0)
}

fn plain(object: &str, data: &[u8]) -> Result<Vec<u8>, CorruptSource> {
    let place = Place { object, ledger: promised(object), start: None };
    let mut plain = Vec::new();
    let read = zstd::Decoder::new(data).and_then(|decoder| decoder.take(MAX_OBJECT + 1).read_to_end(&mut plain));
    read.map_err(|error| place.error(plain.len() as u64, "a zstd frame", error))?;
    if plain.len() as u64 > MAX_OBJECT {
        return Err(place.error(MAX_OBJECT, format!("at most {MAX_OBJECT} plain bytes"), "more"));
    }
    Ok(plain)
}

fn read_object(
    object: &str,
    plain: &[u8],
    network: &[u8; 32],
    drafts: &mut Vec<Draft<'static>>,
) -> Result<(), CorruptSource> {
    let mut reader = Limited::new(Cursor::new(plain), Limits { depth: MAX_DEPTH, len: plain.len() });
    let mut place = Place { object, ledger: promised(object), start: None };
    let mut number = || {
        let number = u32::read_xdr(&mut reader);
        number.map_err(|error| place.error(reader.inner.position(), "a LedgerCloseMetaBatch", error))
    };
    let (first, last, count) = (number()?, number()?, number()?);
    place.ledger = first;
    if u64::from(last) + 1 != u64::from(first) + u64::from(count) {
        return Err(place.error(8, format!("ledgers {first} to {last}"), count));
    }
    for ledger in first..=last {
        let start = reader.inner.position();
        let place = Place { object, ledger, start: Some(start) };
        let meta = LedgerCloseMeta::read_xdr(&mut reader)
            .map_err(|error| place.error(reader.inner.position(), "a LedgerCloseMeta", error))?;
        let parts = parts(meta);
        prove(&parts, ledger, network).map_err(|(expected, found)| place.error(start, expected, found))?;
        drafts.push(draft(parts));
    }
    let at = reader.inner.position();
    if at < plain.len() as u64 { Err(place.error(at, "the end of the object", "more bytes")) } else { Ok(()) }
}

/// What a ledger proves about itself has to hold, or what is made of it would prove nothing.
fn prove(parts: &Parts, ledger: u32, network: &[u8; 32]) -> Result<(), (String, String)> {
    let header = &parts.header.header;
    if header.ledger_seq != ledger {
        return Err((format!("ledger {ledger}"), format!("ledger {}", header.ledger_seq)));
    }
    let set = parts.set.hash(&parts.previous.0, &parts.transactions);
    let checks = [
        ("the header's hash", sha256(&[&xdr(header)]) == parts.header.hash.0),
        ("the transaction set's previous hash", parts.previous == header.previous_ledger_hash),
        ("the transaction set's hash", set == header.scp_value.tx_set_hash.0),
        ("the results' hash", sha256(&[&parts.results]) == header.tx_set_result_hash.0),
        ("the transactions' hashes under the network's passphrase", parts.hashes_match(network)),
    ];
    let broken = checks.into_iter().find(|(_, holds)| !holds);
    broken.map_or(Ok(()), |(what, _)| Err((format!("{what} to hold"), "another".into())))
}

fn draft(parts: Parts) -> Draft<'static> {
    Draft {
        lead: Cow::Owned(parts.lead),
        header: parts.header.header,
        set: parts.set,
        transactions: Cow::Owned(parts.transactions),
        tail: Cow::Owned(parts.tail),
        fees: None,
        counts: parts.counts,
        entries: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_ledgers_than_memory_is_meant_for_are_refused() {
        let object = zstd::encode_all(&[0; 12][..], 1).unwrap();
        let refused = read_all(&[("FFFFFFFD--2.xdr.zst", &object)], "any", 11).unwrap_err();
        assert!(refused.to_string().contains("more than 11 plain bytes"), "{refused}");
    }

    #[test]
    fn a_key_promises_its_first_ledger() {
        let names = ["FF--0-9/FF--7.xdr.zst", "FF--64-127.xdr.zst", "FF--", "anything"];
        assert_eq!(names.map(promised), [7, 64, 0, 0]);
    }
}

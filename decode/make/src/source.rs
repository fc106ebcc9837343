//! Read the objects of a lake with the typed decoder, prove each ledger, and take it apart into a draft.
use std::borrow::Cow;
use std::io::{Cursor, Read};

use stellar_xdr::{LedgerCloseMeta, Limited, Limits, ReadXdr};

use crate::draft::Draft;
use crate::error::CorruptSource;
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
    fn error(&self, at: u64, expected: impl Into<String>) -> CorruptSource {
        CorruptSource {
            object: self.object.into(),
            ledger: self.ledger,
            offset: at - self.start.unwrap_or(0),
            expected: expected.into(),
            container: self.start.is_none(),
        }
    }
}

/// All ledgers of all objects, in the order given.
pub fn read_all(objects: &[(&str, &[u8])], passphrase: &str) -> Result<Vec<Draft<'static>>, CorruptSource> {
    let network = sha256(&[passphrase.as_bytes()]);
    let mut drafts = Vec::new();
    for (name, data) in objects {
        let plain = plain(name, data)?;
        read_object(name, &plain, &network, &mut drafts)?;
    }
    Ok(drafts)
}

fn plain(object: &str, data: &[u8]) -> Result<Vec<u8>, CorruptSource> {
    let place = Place { object, ledger: 0, start: None };
    let mut plain = Vec::new();
    let read = zstd::Decoder::new(data).and_then(|decoder| decoder.take(MAX_OBJECT + 1).read_to_end(&mut plain));
    read.map_err(|error| place.error(plain.len() as u64, format!("expected a zstd frame: {error}")))?;
    if plain.len() as u64 > MAX_OBJECT {
        return Err(place.error(MAX_OBJECT, format!("expected at most {MAX_OBJECT} plain bytes")));
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
    let mut place = Place { object, ledger: 0, start: None };
    let mut number = || {
        let number = u32::read_xdr(&mut reader);
        number.map_err(|error| place.error(reader.inner.position(), format!("expected a batch: {error}")))
    };
    let (first, last, count) = (number()?, number()?, number()?);
    place.ledger = first;
    if u64::from(last) + 1 != u64::from(first) + u64::from(count) {
        return Err(place.error(8, format!("expected ledgers {first} to {last}, found {count}")));
    }
    for ledger in first..=last {
        let start = reader.inner.position();
        let place = Place { object, ledger, start: Some(start) };
        let meta = LedgerCloseMeta::read_xdr(&mut reader)
            .map_err(|error| place.error(reader.inner.position(), format!("expected a ledger: {error}")))?;
        let parts = parts(meta);
        prove(&parts, ledger, network).map_err(|expected| place.error(start, expected))?;
        drafts.push(draft(parts));
    }
    let at = reader.inner.position();
    if at < plain.len() as u64 { Err(place.error(at, "expected the end of the object")) } else { Ok(()) }
}

/// What a ledger proves about itself has to hold, or what is made of it would prove nothing.
fn prove(parts: &Parts, ledger: u32, network: &[u8; 32]) -> Result<(), String> {
    let header = &parts.header.header;
    if header.ledger_seq != ledger {
        return Err(format!("expected ledger {ledger}, found {}", header.ledger_seq));
    }
    let checks = [
        ("the header's hash", sha256(&[&xdr(header)]) == parts.header.hash.0),
        ("the header's previous hash in the transaction set", parts.previous == header.previous_ledger_hash),
        (
            "the hash of the transaction set",
            parts.set.hash(&parts.previous.0, &parts.transactions) == header.scp_value.tx_set_hash.0,
        ),
        ("the hash of the results", sha256(&[&parts.results]) == header.tx_set_result_hash.0),
        ("the transactions' hashes under the network's passphrase", parts.hashes_match(network)),
    ];
    checks.iter().find(|(_, holds)| !holds).map_or(Ok(()), |(what, _)| Err(format!("expected {what} to hold")))
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
    }
}

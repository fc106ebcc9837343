//! A whole chunk in one call: opens its objects, walks, proves and encodes each ledger, stops at the first bad one.
use crate::container::{Opener, batch_head};
use crate::fault::{Checked, CorruptLedger, Fault};
use crate::ledger::Ledger;
use crate::matching::Matching;
use crate::picks::Events;
use crate::prove::{self, Hash, Head};
use crate::rows::{Rows, Section};
use crate::token::PROTOCOLS;
use crate::walk::walk;
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Instant;

/// Plain bytes that an object may hold, unless told otherwise.
pub const MAX_OBJECT_BYTES: usize = 256 << 20;

/// One object of a source: its name, the ledgers that the name covers, its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Key or path, for messages.
    pub name: &'a str,
    /// First ledger that the name covers.
    pub first: u32,
    /// Last ledger that the name covers.
    pub last: u32,
    /// A zstd object, or one plain `LedgerCloseMeta`.
    pub bytes: &'a [u8],
}

/// Time by stage.
#[derive(Debug, Default, Clone, Copy)]
pub struct Nanoseconds {
    /// Opening zstd objects.
    pub decompress: u64,
    /// Walking.
    pub walk: u64,
    /// Hashing and matching.
    pub prove: u64,
    /// Writing rows into memory.
    pub encode: u64,
    /// Writing rows to the file.
    pub write: u64,
}

/// What one chunk came to. With an `error`, it holds the sound ledgers before it.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Sound ledgers, from the first on.
    pub ledgers: u32,
    /// Hash of the ledger before the first.
    pub previous_hash: Option<Hash>,
    /// Hash of the first ledger.
    pub first_hash: Option<Hash>,
    /// Hash of the last sound ledger.
    pub last_hash: Option<Hash>,
    /// What was written, table by table; nothing where there is no sound ledger.
    pub sections: Vec<Section>,
    /// Plain bytes looked at.
    pub plain_bytes: u64,
    /// Soroban event hashes that do not hold, where that is no error.
    pub event_hash_mismatches: u64,
    /// Events, by protocol, that have the name of a token's and not its types.
    pub left_alone: [u64; PROTOCOLS.len()],
    /// Time by stage.
    pub nanoseconds: Nanoseconds,
    /// Why it ended early.
    pub error: Option<CorruptLedger>,
}

/// What is wanted of a decoder in one call.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// First ledger wanted.
    pub first: u32,
    /// Last ledger wanted.
    pub last: u32,
    /// Objects in ascending order that cover them.
    pub objects: &'a [Object<'a>],
    /// Each object is one plain `LedgerCloseMeta`.
    pub framed: bool,
}

impl Request<'_> {
    /// Says what is wrong with the request itself: a mistake of the caller, not of the bytes.
    pub fn mistake(&self) -> Option<&'static str> {
        let (Some(head), Some(tail)) = (self.objects.first(), self.objects.last()) else {
            return Some("no objects");
        };
        if self.first == 0 || self.first > self.last || self.last > i32::MAX as u32 {
            return Some("no range of ledgers");
        }
        if self.objects.iter().any(|object| object.first == 0 || object.first > object.last) {
            return Some("an object covers no range of ledgers");
        }
        if self.framed && self.objects.iter().any(|object| object.first != object.last) {
            return Some("a framed object holds one ledger");
        }
        if self.objects.windows(2).any(|pair| pair[0].last >= pair[1].first) {
            return Some("the objects are not in ascending order");
        }
        let covered = head.first <= self.first && self.first <= head.last;
        let ends = tail.first <= self.last && self.last <= tail.last;
        (!covered || !ends).then_some("the objects do not cover the range")
    }
}

/// Decodes chunk after chunk; keeps its buffers.
#[derive(Debug)]
pub struct Decoder {
    opener: Opener,
    pass: Pass,
    max_object_bytes: usize,
}

/// The part of a decoder that looks at plain bytes.
#[derive(Debug)]
struct Pass {
    network: Hash,
    trusted: HashMap<u32, Hash>,
    ledger: Ledger,
    matching: Matching,
    rows: Rows,
}

/// A fault, and whose offset it is.
struct Damage {
    fault: Box<Fault>,
    container: bool,
}

/// How far a chunk has come.
struct Progress<'a> {
    request: Request<'a>,
    /// The ledger that comes next.
    next: u32,
    /// Hash of the ledger before it.
    previous: Option<Hash>,
    chunk: Chunk,
}

/// One ledger to look at: its bytes and all that follow it in its object.
struct Place<'a> {
    raw: &'a [u8],
    /// The ledger that the object's name or its place in the batch promises.
    expected: u32,
    /// Nothing may follow it.
    is_last: bool,
    /// Where it starts in a batch; None where the object is the ledger.
    offset: Option<usize>,
}

impl Decoder {
    /// A decoder for one network that makes the rows of the base tables; `trusted` are hashes known from elsewhere.
    pub fn new(passphrase: &str, trusted: HashMap<u32, Hash>, max_object_bytes: usize) -> Self {
        // spans count in 32 bits
        let max_object_bytes = max_object_bytes.min(u32::MAX as usize);
        let pass = Pass {
            network: prove::network_id(passphrase),
            trusted,
            ledger: Ledger::default(),
            matching: Matching::default(),
            rows: Rows::default(),
        };
        Decoder { opener: Opener::new(max_object_bytes), pass, max_object_bytes }
    }

    /// The same decoder, which makes these rows.
    pub fn making(mut self, rows: Rows) -> Self {
        self.pass.rows = rows;
        self
    }

    /// The tables whose rows it makes.
    pub fn tables(&self) -> &[&'static str] {
        self.pass.rows.tables()
    }

    /// Gives away the events that the chunk before has for plug-ins, by plug-in and call.
    pub fn take_picks(&mut self) -> Vec<Vec<Events>> {
        self.pass.rows.take_picks()
    }

    /// Decodes a chunk; bad data ends it early and is told in the chunk itself.
    pub fn chunk(&mut self, request: Request) -> Chunk {
        self.pass.rows.start(&self.pass.network, request.first);
        let next = request.objects.first().map_or(request.first, |object| object.first);
        let mut progress = Progress { request, next, previous: None, chunk: Chunk::default() };
        for object in request.objects {
            let from = object.first;
            let result =
                if request.framed { self.framed(object, &mut progress) } else { self.batch(object, &mut progress) };
            if let Err(Damage { fault, container }) = result {
                // a container is damaged for all of its ledgers: the first that is wanted of them is named
                let wanted = if container { request.first } else { 0 };
                let (object, ledger) = (object.name.to_owned(), progress.next.max(from).max(wanted));
                progress.chunk.error = Some(CorruptLedger { object, ledger, fault: *fault, container });
                break;
            }
        }
        progress.chunk.left_alone = self.pass.rows.left_alone();
        progress.chunk
    }

    /// Writes the rows of the chunk before, if it has a sound ledger.
    pub fn write(&mut self, chunk: &mut Chunk, out: &mut dyn Write) -> io::Result<()> {
        if chunk.ledgers > 0 {
            let began = Instant::now();
            chunk.sections = self.pass.rows.write(out)?;
            chunk.nanoseconds.write += since(began);
        }
        Ok(())
    }

    fn framed(&mut self, object: &Object, progress: &mut Progress) -> Result<(), Damage> {
        if object.bytes.len() > self.max_object_bytes {
            let most = format!("at most {} plain bytes in an object", self.max_object_bytes);
            return Err(container(Fault::new(self.max_object_bytes, most, object.bytes.len().to_string())));
        }
        progress.chunk.plain_bytes += object.bytes.len() as u64;
        let place = Place { raw: object.bytes, expected: object.first, is_last: true, offset: None };
        self.pass.ledger(&place, progress).map(drop)
    }

    fn batch(&mut self, object: &Object, progress: &mut Progress) -> Result<(), Damage> {
        let began = Instant::now();
        let opened = self.opener.open(object.bytes);
        progress.chunk.nanoseconds.decompress += since(began);
        let plain = opened.map_err(container)?;
        progress.chunk.plain_bytes += plain.len() as u64;
        let mut at = batch_head(plain, object.first, object.last).map_err(container)?;
        for expected in object.first..=object.last {
            let is_last = expected == object.last;
            let place = Place { raw: &plain[at..], expected, is_last, offset: Some(at) };
            at += self.pass.ledger(&place, progress)?;
        }
        Ok(())
    }
}

impl Pass {
    /// Looks at one ledger, takes its rows if it is sound and wanted, and returns its length in bytes.
    fn ledger(&mut self, place: &Place, progress: &mut Progress) -> Result<usize, Damage> {
        let time = &mut progress.chunk.nanoseconds;
        let began = Instant::now();
        let length = walk(place.raw, &mut self.ledger).map_err(damage)?;
        time.walk += since(began);
        let raw = &place.raw[..length];
        let head = Head::read(raw, &self.ledger.header);
        let began = Instant::now();
        self.place(raw, &head, place.expected, progress).map_err(damage)?;
        let mismatches = self.prove(raw, &head).map_err(damage)?;
        progress.chunk.nanoseconds.prove += since(began);
        if place.is_last {
            nothing_after(place, length)?;
        }
        if progress.wants(place.expected) {
            progress.chunk.event_hash_mismatches += mismatches;
            if !self.rows.is_empty() {
                let began = Instant::now();
                self.rows.add(raw, &self.ledger, &head, self.matching.envelopes()).map_err(damage)?;
                progress.chunk.nanoseconds.encode += since(began);
            }
        }
        progress.accept(place.expected, &head);
        Ok(length)
    }

    /// The header holds, and it is the one that is expected here.
    fn place(&self, raw: &[u8], head: &Head, expected: u32, progress: &Progress) -> Checked {
        prove::header(raw, &self.ledger.header)?;
        let links = progress.previous.is_none_or(|previous| previous == *head.previous);
        let missing = progress.next;
        if !links && head.sequence == missing + 1 {
            let found = format!("ledger {}: previousLedgerHash does not link to ledger {}", head.sequence, missing - 1);
            return Err(Fault::new(head.previous_at, format!("ledger {missing}, which is missing"), found));
        }
        if head.sequence != expected || expected != missing {
            return Err(Fault::new(head.sequence_at, format!("ledgerSeq {missing}"), head.sequence.to_string()));
        }
        prove::links(head, progress.previous.as_ref())?;
        prove::trusted(self.ledger.header.hash, head, self.trusted.get(&expected))
    }

    /// The proofs of everything below the header; returns event hashes that do not hold, where that is no error.
    fn prove(&mut self, raw: &[u8], head: &Head) -> Checked<u64> {
        prove::transaction_set(raw, &self.ledger, head)?;
        prove::results(raw, &self.ledger, head)?;
        prove::envelopes(raw, &self.ledger, &self.network, &mut self.matching)?;
        prove::codes(raw, &self.ledger)?;
        prove::soroban_events(raw, &self.ledger, head.protocol)
    }
}

impl Progress<'_> {
    fn wants(&self, ledger: u32) -> bool {
        (self.request.first..=self.request.last).contains(&ledger)
    }

    fn accept(&mut self, ledger: u32, head: &Head) {
        if self.wants(ledger) {
            let chunk = &mut self.chunk;
            chunk.ledgers += 1;
            chunk.previous_hash.get_or_insert(*head.previous);
            chunk.first_hash.get_or_insert(*head.hash);
            chunk.last_hash = Some(*head.hash);
        }
        self.previous = Some(*head.hash);
        self.next = ledger + 1;
    }
}

fn nothing_after(place: &Place, length: usize) -> Result<(), Damage> {
    let after = place.raw.len() - length;
    if after == 0 {
        return Ok(());
    }
    let found = format!("{after} more bytes");
    match place.offset {
        Some(offset) => Err(container(Fault::new(offset + length, "the end of the object", found))),
        None => Err(damage(Fault::new(length, "the end of the ledger", found))),
    }
}

fn damage(fault: Box<Fault>) -> Damage {
    Damage { fault, container: false }
}

fn container(fault: Box<Fault>) -> Damage {
    Damage { fault, container: true }
}

fn since(began: Instant) -> u64 {
    began.elapsed().as_nanos() as u64
}

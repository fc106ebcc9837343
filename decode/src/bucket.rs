//! The bucket list of a history archive: which instances of contracts and which codes live at a checkpoint.
//!
//! Buckets are streamed, so what is kept grows with the contracts and codes alone.
use crate::contract::{Entry, Key};
use crate::cursor::Cursor;
use crate::fault::{Checked, CorruptArchive, Fault};
use crate::ledger::hash_at;
use crate::prove::{self, Hash, Head};
use crate::skip;
use crate::spec::contract_spec;
use crate::stream::mark_length;
use crate::walk;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::ops::Bound;

/// Bytes that an entry may have: stellar-core's largest message, so that nothing larger can enter a ledger.
pub const MAX_ENTRY_BYTES: u32 = 16 << 20;
/// The hash of a bucket without a byte.
const EMPTY: Hash = [0; 32];
const MARK_BYTES: usize = 4;

const META: i32 = -1;
const LIVE: i32 = 0;
const DEAD: i32 = 1;
const INIT: i32 = 2;

/// What a contract runs, and the name that it gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The hash of its WASM, as of [`crate::contract::Instance`].
    pub wasm_hash: Option<Hash>,
    /// Its name.
    pub name: Option<Box<str>>,
}

/// The specification of a code, where it has one.
pub type Spec = Option<Box<[u8]>>;

/// The newest entry of each key; None where that is a dead one.
#[derive(Debug, Default)]
struct Newest {
    instances: BTreeMap<Hash, Option<Instance>>,
    codes: BTreeMap<Hash, Option<Spec>>,
}

/// A bucket list that is fed bucket after bucket, the newest first.
#[derive(Debug, Default)]
pub struct Buckets {
    newest: Newest,
    bucket: Option<Bucket>,
}

/// The bucket that is being fed; what it brings counts once its hash is proved.
#[derive(Debug)]
struct Bucket {
    hash: Hash,
    hash_only: bool,
    sha: Sha256,
    /// Plain bytes before `record`.
    at: usize,
    /// The mark and what has come of the record behind it; of a bucket that is hashed only, nothing.
    record: Vec<u8>,
    found: Newest,
}

impl Buckets {
    /// Begins a bucket; one that has not ended is forgotten.
    pub fn start(&mut self, hash: Hash, hash_only: bool) {
        let (sha, record, found) = (Sha256::new(), Vec::new(), Newest::default());
        self.bucket = Some(Bucket { hash, hash_only, sha, at: 0, record, found });
    }

    /// Whether there is a bucket to feed and to end.
    pub fn has_started(&self) -> bool {
        self.bucket.is_some()
    }

    /// Takes the next bytes of the bucket; one that is not sound is forgotten.
    pub fn feed(&mut self, plain: &[u8]) -> Result<(), CorruptArchive> {
        let Some(bucket) = &mut self.bucket else { return Ok(()) };
        bucket.sha.update(plain);
        if bucket.hash_only {
            bucket.at += plain.len();
            return Ok(());
        }
        let fed = bucket.records(plain, &self.newest);
        fed.map_err(|fault| self.corrupt(*fault))
    }

    /// Ends the bucket: what it brings is older than all that is known.
    pub fn end(&mut self) -> Result<(), CorruptArchive> {
        let Some(bucket) = &mut self.bucket else { return Ok(()) };
        if let Err(fault) = bucket.check_end() {
            return Err(self.corrupt(*fault));
        }
        self.newest.add_older(std::mem::take(&mut bucket.found));
        self.bucket = None;
        Ok(())
    }

    fn corrupt(&mut self, fault: Fault) -> CorruptArchive {
        let name = self.bucket.take().map(|bucket| crate::fault::hex(&bucket.hash)).unwrap_or_default();
        CorruptArchive { object: format!("bucket-{name}"), fault }
    }

    /// The first live instance after a contract, or of all.
    pub fn instance_after(&self, contract: Option<&Hash>) -> Option<(&Hash, &Instance)> {
        live_after(&self.newest.instances, contract)
    }

    /// The first live code after a hash, or of all.
    pub fn spec_after(&self, hash: Option<&Hash>) -> Option<(&Hash, &Spec)> {
        live_after(&self.newest.codes, hash)
    }
}

fn live_after<'a, T>(newest: &'a BTreeMap<Hash, Option<T>>, key: Option<&Hash>) -> Option<(&'a Hash, &'a T)> {
    let from = key.map_or(Bound::Unbounded, Bound::Excluded);
    newest.range::<Hash, _>((from, Bound::Unbounded)).find_map(|(key, value)| Some((key, value.as_ref()?)))
}

impl Bucket {
    fn records(&mut self, mut plain: &[u8], known: &Newest) -> Checked {
        while !plain.is_empty() {
            let wanted = self.wanted()?.unwrap_or(MARK_BYTES);
            let (more, left) = plain.split_at(plain.len().min(wanted - self.record.len()));
            self.record.extend_from_slice(more);
            plain = left;
            if self.wanted()? == Some(self.record.len()) {
                let start = self.at + MARK_BYTES;
                let added = self.found.add(&self.record[MARK_BYTES..], known);
                added.map_err(|fault| Box::new(Fault { at: start + fault.at, ..*fault }))?;
                self.at += self.record.len();
                self.record.clear();
            }
        }
        Ok(())
    }

    /// Bytes of the record with its mark; None where the mark is not whole yet.
    fn wanted(&self) -> Checked<Option<usize>> {
        let Some(mark) = self.record.first_chunk() else { return Ok(None) };
        let length = mark_length(self.at as u64, u32::from_be_bytes(*mark), MAX_ENTRY_BYTES)?;
        Ok(Some(MARK_BYTES + length as usize))
    }

    fn check_end(&mut self) -> Checked {
        if !self.record.is_empty() {
            let wanted = format!("{} bytes of a record", self.wanted()?.unwrap_or(MARK_BYTES));
            return Err(Fault::new(self.at, wanted, format!("the end after {}", self.record.len())));
        }
        let found = if self.at == 0 { EMPTY } else { self.sha.finalize_reset().into() };
        prove::same(0, "a bucket that hashes to", &self.hash, &found)
    }
}

impl Newest {
    /// Adds one `BucketEntry`, unless something newer is known of its key.
    fn add(&mut self, entry: &[u8], known: &Newest) -> Checked {
        let c = &mut Cursor::new(entry);
        let kind = c.int()?;
        let start = c.mark();
        match kind {
            LIVE | INIT => skip::ledger_entry(c)?,
            DEAD => skip::ledger_key(c)?,
            META => skip::bucket_metadata(c)?,
            _ => return c.refuse_value(0, "BucketEntry with BucketEntryType -1 to 2", kind),
        }
        whole(c, entry)?;
        match kind {
            LIVE | INIT => self.live(c.since(start), start, known),
            DEAD => {
                self.dead(c.since(start));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn live(&mut self, entry: &[u8], start: u32, known: &Newest) -> Checked {
        match Entry::read(entry) {
            Some(Entry::Instance(instance)) if !known.instances.contains_key(instance.contract) => {
                let name = instance.name().map(Box::from);
                let found = Some(Instance { wasm_hash: instance.wasm_hash, name });
                self.instances.entry(*instance.contract).or_insert(found);
            }
            Some(Entry::Code(code)) => {
                prove::code_hash(&code, start)?;
                if !known.codes.contains_key(code.hash)
                    && let Place::Vacant(place) = self.codes.entry(*code.hash)
                {
                    place.insert(Some(contract_spec(code.code).map(Box::from)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn dead(&mut self, key: &[u8]) {
        match Key::read(key) {
            Some(Key::Instance(contract)) => _ = self.instances.entry(*contract).or_insert(None),
            Some(Key::Code(hash)) => _ = self.codes.entry(*hash).or_insert(None),
            None => {}
        }
    }

    fn add_older(&mut self, older: Newest) {
        for (contract, found) in older.instances {
            self.instances.entry(contract).or_insert(found);
        }
        for (hash, found) in older.codes {
            self.codes.entry(hash).or_insert(found);
        }
    }
}

fn whole(c: &Cursor, record: &[u8]) -> Checked {
    match record.len() - c.at() {
        0 => Ok(()),
        more => Err(Fault::new(c.at(), "the end of the record", format!("{more} more bytes"))),
    }
}

/// What is read of a `LedgerHeaderHistoryEntry` that holds.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The fields that ledgers are proved by.
    pub head: Head<'a>,
    /// `bucketListHash`.
    pub bucket_list_hash: &'a Hash,
}

/// Reads a `LedgerHeaderHistoryEntry` and proves it.
pub fn ledger_header<'a>(raw: &'a [u8], name: &str) -> Result<Header<'a>, CorruptArchive> {
    proved(raw).map_err(|fault| CorruptArchive { object: name.to_owned(), fault: *fault })
}

fn proved(raw: &[u8]) -> Checked<Header<'_>> {
    let c = &mut Cursor::new(raw);
    let header = walk::header(c)?;
    whole(c, raw)?;
    prove::header(raw, &header)?;
    Ok(Header { head: Head::read(raw, &header), bucket_list_hash: hash_at(raw, header.result_hash + 32) })
}

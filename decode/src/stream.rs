//! Indexes an RFC 5531 record-marked stream of `LedgerCloseMeta`, plain or in one zstd frame, in one pass.
use crate::fault::{Checked, CorruptLedger, Fault};
use crate::ledger::Header;
use crate::prove::{self, Head};
use crate::source::{Plain, Source, Zstd, is_zstd};
use crate::walk::walk_header;
use std::fs::File;
use std::io::{self, Write};

/// Bytes that a record may have, unless told otherwise.
pub const MAX_RECORD_BYTES: u32 = 256 << 20;
/// Set in the mark of a record's last fragment; the other bits are its length.
const LAST_FRAGMENT: u32 = 1 << 31;
/// Every header lies within this much of its ledger's start.
const HEAD_BYTES: usize = 4096;

/// Why a stream has no index at all.
#[derive(Debug)]
pub enum Unindexed {
    /// A file could not be read or written.
    Io(io::Error),
    /// Not one record.
    Corrupt(CorruptLedger),
}

impl From<io::Error> for Unindexed {
    fn from(error: io::Error) -> Self {
        Unindexed::Io(error)
    }
}

/// What an index covers.
#[derive(Debug)]
pub struct Indexed {
    /// The first record's ledger.
    pub first: u32,
    /// The last record's ledger.
    pub last: u32,
    /// What is wrong with the stream's end.
    pub error: Option<CorruptLedger>,
}

/// Writes an index record of 24 bytes a ledger to `index`, and the plain bytes of a zstd stream to `spool`.
pub fn index_stream(
    path: &str,
    index: &mut dyn Write,
    spool: &mut dyn Write,
    max_record_bytes: u32,
) -> Result<Indexed, Unindexed> {
    let mut file = File::open(path)?;
    let mut numbering = Numbering { index: io::BufWriter::new(index), first: None, last: 0, unproven: Vec::new() };
    let fault = if is_zstd(&mut file)? {
        records(&mut Zstd::new(file, spool)?, &mut numbering, max_record_bytes)?
    } else {
        records(&mut Plain::new(file)?, &mut numbering, max_record_bytes)?
    };
    numbering.index.flush()?;
    numbering.end(path, fault)
}

/// Goes from mark to mark; returns what ended the way early, if anything.
fn records(source: &mut dyn Source, numbering: &mut Numbering, most: u32) -> io::Result<Option<Box<Fault>>> {
    let mut buffer = vec![0; HEAD_BYTES];
    loop {
        let at = source.position();
        let mut mark = [0; 4];
        match source.read(&mut mark)? {
            0 => return Ok(source.fault()),
            4 => {}
            short => return Ok(source.fault().or_else(|| Some(cut(at, 4, short as u64)))),
        }
        let length = match mark_length(at, u32::from_be_bytes(mark), most) {
            Ok(length) => length,
            Err(fault) => return Ok(Some(fault)),
        };
        let head = &mut buffer[..HEAD_BYTES.min(length as usize)];
        let read = source.read(head)? as u64;
        let present = read + source.skip(u64::from(length) - read)?;
        if present < u64::from(length) {
            return Ok(source.fault().or_else(|| Some(cut(at + 4, u64::from(length), present))));
        }
        if let Some(fault) = numbering.add(at + 4, length, proven_sequence(head))? {
            return Ok(Some(fault));
        }
    }
}

#[cold]
fn cut(at: u64, wanted: u64, present: u64) -> Box<Fault> {
    Fault::new(at as usize, format!("{wanted} bytes of a record"), format!("the end after {present}"))
}

/// The length of the record behind a mark at `at`; refuses fragments and more than `most` bytes.
pub(crate) fn mark_length(at: u64, mark: u32, most: u32) -> Checked<u32> {
    let length = mark & !LAST_FRAGMENT;
    if mark & LAST_FRAGMENT == 0 {
        return Err(Fault::new(at as usize, "the mark of a record in one fragment", format!("{mark:#010x}")));
    }
    if length > most {
        return Err(Fault::new(at as usize, format!("a record of at most {most} bytes"), length.to_string()));
    }
    Ok(length)
}

/// The sequence in a header that hashes to its own hash.
fn proven_sequence(head: &[u8]) -> Option<u32> {
    let header: Header = walk_header(head).ok()?;
    prove::header(head, &header).ok()?;
    Some(Head::read(head, &header).sequence).filter(|sequence| (1..=i32::MAX as u32).contains(sequence))
}

/// Gives each record its ledger and writes the index.
struct Numbering<'a> {
    index: io::BufWriter<&'a mut dyn Write>,
    first: Option<u32>,
    last: u32,
    /// Records before the first whose header proves something.
    unproven: Vec<(u64, u32)>,
}

impl Numbering<'_> {
    fn add(&mut self, offset: u64, length: u32, proven: Option<u32>) -> io::Result<Option<Box<Fault>>> {
        let (Some(_), ledger) = (self.first, proven.unwrap_or(self.last.saturating_add(1))) else {
            return self.add_first(offset, length, proven);
        };
        if ledger <= self.last || ledger > i32::MAX as u32 {
            let wanted = format!("ledger {} or a later one", u64::from(self.last) + 1);
            return Ok(Some(Fault::new(offset as usize, wanted, format!("ledger {ledger}"))));
        }
        self.write(offset, length, ledger)?;
        Ok(None)
    }

    /// The first record that proves its ledger says which those before it should be.
    fn add_first(&mut self, offset: u64, length: u32, proven: Option<u32>) -> io::Result<Option<Box<Fault>>> {
        let Some(ledger) = proven else {
            self.unproven.push((offset, length));
            return Ok(None);
        };
        let before = self.unproven.len();
        if before >= ledger as usize {
            let found = format!("{before} records before ledger {ledger}");
            return Ok(Some(Fault::new(offset as usize, "ledgers that count from 1", found)));
        }
        let first = ledger - before as u32;
        self.first = Some(first);
        for (number, (offset, length)) in (first..).zip(std::mem::take(&mut self.unproven)) {
            self.write(offset, length, number)?;
        }
        self.write(offset, length, ledger)?;
        Ok(None)
    }

    fn write(&mut self, offset: u64, length: u32, ledger: u32) -> io::Result<()> {
        self.index.write_all(&offset.to_le_bytes())?;
        self.index.write_all(&u64::from(length).to_le_bytes())?;
        self.index.write_all(&u64::from(ledger).to_le_bytes())?;
        self.last = ledger;
        Ok(())
    }

    fn end(self, path: &str, fault: Option<Box<Fault>>) -> Result<Indexed, Unindexed> {
        let corrupt = |ledger, fault: Box<Fault>| CorruptLedger {
            object: path.to_owned(),
            ledger,
            fault: *fault,
            container: true,
        };
        let records = self.unproven.len();
        match self.first {
            Some(first) => {
                let error = fault.map(|fault| corrupt(self.last.saturating_add(1), fault));
                Ok(Indexed { first, last: self.last, error })
            }
            None => {
                let none =
                    || Fault::new(0, "a ledger whose header hashes to its hash", format!("none in {records} records"));
                Err(Unindexed::Corrupt(corrupt(0, fault.unwrap_or_else(none))))
            }
        }
    }
}

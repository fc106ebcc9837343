//! The bytes of a stream, read once from the front: a plain file, or one zstd frame that is spooled as it opens.
use crate::container::{MAX_WINDOW_LOG, ZSTD_MAGIC};
use crate::fault::Fault;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

/// Bytes of a zstd frame before it says how long its header is.
const FRAME_START: usize = 5;
/// The library asks for a block together with the header of the next.
const BLOCK_HEADER: usize = 3;

/// Plain bytes from the front.
pub trait Source {
    /// Bytes from the start.
    fn position(&self) -> u64;
    /// Fills `buffer`; fewer bytes only at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Moves on by `n` bytes; fewer only at the end.
    fn skip(&mut self, n: u64) -> io::Result<u64>;
    /// What is wrong with the container at the end.
    fn fault(&mut self) -> Option<Box<Fault>>;
}

/// Whether a file begins as a zstd frame does; leaves it at its start.
pub fn is_zstd(file: &mut File) -> io::Result<bool> {
    let mut magic = [0; 4];
    let is_zstd = match file.read_exact(&mut magic) {
        Ok(()) => magic == ZSTD_MAGIC,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(0))?;
    Ok(is_zstd)
}

/// A plain file: only what is asked for is read.
pub struct Plain {
    file: File,
    at: u64,
    length: u64,
}

impl Plain {
    /// Reads `file` from its start.
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Plain { file, at: 0, length })
    }
}

impl Source for Plain {
    fn position(&self) -> u64 {
        self.at
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read(&mut buffer[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let skipped = n.min(self.length.saturating_sub(self.at));
        self.at = self.file.seek(SeekFrom::Start(self.at + skipped))?;
        Ok(skipped)
    }

    fn fault(&mut self) -> Option<Box<Fault>> {
        None
    }
}

/// One zstd frame; every plain byte is written to the spool as well.
pub struct Zstd<'a> {
    file: File,
    spool: &'a mut dyn Write,
    context: DCtx<'static>,
    stored: Vec<u8>,
    stored_at: usize,
    /// Stored bytes up to the end of the current block, by what the library says.
    wanted: usize,
    plain: Vec<u8>,
    plain_at: usize,
    at: u64,
    ended: bool,
    fault: Option<Box<Fault>>,
}

impl<'a> Zstd<'a> {
    /// Opens `file` from its start.
    pub fn new(file: File, spool: &'a mut dyn Write) -> io::Result<Self> {
        let mut context = DCtx::create();
        context
            .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
            .map_err(|code| io::Error::other(get_error_name(code)))?;
        Ok(Zstd {
            file,
            spool,
            context,
            stored: Vec::with_capacity(DCtx::in_size()),
            stored_at: 0,
            wanted: FRAME_START,
            plain: Vec::with_capacity(DCtx::out_size()),
            plain_at: 0,
            at: 0,
            ended: false,
            fault: None,
        })
    }

    /// Opens the next plain bytes; false at the end.
    fn more(&mut self) -> io::Result<bool> {
        self.plain.clear();
        self.plain_at = 0;
        while self.plain.is_empty() && !self.ended {
            if self.stored_at == self.stored.len() && !self.fetch()? {
                self.stop("the end of the zstd frame", "the end of the file");
                break;
            }
            self.open();
        }
        self.spool.write_all(&self.plain)?;
        Ok(!self.plain.is_empty())
    }

    fn fetch(&mut self) -> io::Result<bool> {
        self.stored.clear();
        self.stored_at = 0;
        let most = self.stored.capacity() as u64;
        Ok((&mut self.file).take(most).read_to_end(&mut self.stored)? > 0)
    }

    /// Opens one block at most: the library drops what it has opened in a call that ends at damage.
    fn open(&mut self) {
        let block = if self.wanted > BLOCK_HEADER { self.wanted - BLOCK_HEADER } else { self.wanted };
        let end = self.stored.len().min(self.stored_at + block);
        let mut input = InBuffer::around(&self.stored[self.stored_at..end]);
        let result = self.context.decompress_stream(&mut OutBuffer::around(&mut self.plain), &mut input);
        self.stored_at += input.pos();
        match result {
            Ok(0) => self.end_of_frame(),
            Ok(wanted) => self.wanted = wanted,
            Err(code) => self.stop("a sound zstd frame", get_error_name(code)),
        }
    }

    fn end_of_frame(&mut self) {
        self.ended = true;
        let rest = self.stored.len() - self.stored_at;
        let mut byte = [0];
        if rest > 0 || matches!(self.file.read(&mut byte), Ok(1)) {
            self.stop("the end of the file after one zstd frame", "more bytes");
        }
    }

    #[cold]
    fn stop(&mut self, expected: &str, found: &str) {
        self.ended = true;
        let at = self.at as usize + self.plain.len();
        self.fault = Some(Fault::new(at, expected, found));
    }
}

impl Source for Zstd<'_> {
    fn position(&self) -> u64 {
        self.at
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && (self.plain_at < self.plain.len() || self.more()?) {
            let n = (buffer.len() - filled).min(self.plain.len() - self.plain_at);
            buffer[filled..filled + n].copy_from_slice(&self.plain[self.plain_at..self.plain_at + n]);
            filled += n;
            self.plain_at += n;
            self.at += n as u64;
        }
        Ok(filled)
    }

    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let mut skipped = 0;
        while skipped < n && (self.plain_at < self.plain.len() || self.more()?) {
            let step = (n - skipped).min((self.plain.len() - self.plain_at) as u64);
            skipped += step;
            self.plain_at += step as usize;
            self.at += step;
        }
        Ok(skipped)
    }

    fn fault(&mut self) -> Option<Box<Fault>> {
        self.fault.take()
    }
}

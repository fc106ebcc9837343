//! Zstd objects: one whole frame with one `LedgerCloseMetaBatch` (SEP-54), opened into a buffer that is kept.
use crate::cursor::Cursor;
use crate::fault::{Checked, Fault};
use crate::skip::least;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, find_frame_compressed_size, get_error_name, get_frame_content_size, is_error_kind};

/// How a zstd frame begins.
pub const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest window that a frame may ask for: 128 MiB.
pub const MAX_WINDOW_LOG: u32 = 27;
/// A guess for the first try where a frame does not say its size: real ledgers compress 7 : 1.
const EXPECTED_RATIO: usize = 8;

/// Opens objects; the context and the buffer are used again and again (a new context an object costs twice the time).
pub struct Opener {
    context: DCtx<'static>,
    plain: Vec<u8>,
    max_bytes: usize,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

impl Opener {
    /// An object may hold at most `max_bytes` plain bytes, whatever its header says.
    pub fn new(max_bytes: usize) -> Self {
        Opener { context: DCtx::create(), plain: Vec::new(), max_bytes }
    }

    /// Decompresses one object: exactly one frame, whole, with nothing after it.
    pub fn open(&mut self, object: &[u8]) -> Checked<&[u8]> {
        check_frame(object)?;
        let announced = get_frame_content_size(object).ok().flatten().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if announced.is_some_and(|bytes| bytes > self.max_bytes) {
            return Err(self.too_large());
        }
        let mut room = announced.unwrap_or(object.len().saturating_mul(EXPECTED_RATIO)).max(self.plain.capacity());
        loop {
            room = room.min(self.max_bytes);
            self.plain.clear();
            self.plain.reserve_exact(room);
            match self.context.decompress(&mut self.plain, object) {
                Ok(_) if self.plain.len() > self.max_bytes => return Err(self.too_large()),
                Ok(_) => return Ok(&self.plain),
                Err(code) if !is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
                    return Err(Fault::new(0, "a sound zstd frame", get_error_name(code)));
                }
                Err(_) if room >= self.max_bytes => return Err(self.too_large()),
                Err(_) => room = room.saturating_mul(2).max(1 << 16),
            }
        }
    }

    #[cold]
    fn too_large(&self) -> Box<Fault> {
        Fault::new(self.max_bytes, format!("at most {} plain bytes in an object", self.max_bytes), "more")
    }
}

/// A frame's magic, its window, its end, and nothing after it.
fn check_frame(object: &[u8]) -> Checked {
    if !object.starts_with(&ZSTD_MAGIC) {
        let start = &object[..object.len().min(4)];
        return Err(Fault::new(0, "a zstd frame", format!("{} bytes that begin with {start:02x?}", object.len())));
    }
    check_window(object)?;
    match find_frame_compressed_size(object) {
        Ok(size) if size == object.len() => Ok(()),
        Ok(size) => {
            let found = format!("{} bytes after its {size}", object.len() - size);
            Err(Fault::new(0, "one zstd frame and nothing after it", found))
        }
        Err(code) => {
            let found = format!("{} in {} stored bytes", get_error_name(code), object.len());
            Err(Fault::new(0, "a whole zstd frame", found))
        }
    }
}

/// RFC 8878, 3.1.1.1.2: five bits exponent, three bits mantissa. A frame in a single segment has no window of its own.
fn check_window(object: &[u8]) -> Checked {
    let (Some(descriptor), Some(window)) = (object.get(4), object.get(5)) else {
        return Ok(());
    };
    let is_single_segment = descriptor & 0x20 != 0;
    let (log, mantissa) = (10 + u32::from(window >> 3), window & 7);
    if is_single_segment || log < MAX_WINDOW_LOG || (log == MAX_WINDOW_LOG && mantissa == 0) {
        return Ok(());
    }
    Err(Fault::new(
        0,
        format!("a zstd window of at most {} MiB", 1 << (MAX_WINDOW_LOG - 20)),
        format!("2^{log} bytes or more"),
    ))
}

/// Checks the head of a batch against the ledgers that its object's name covers; returns where its ledgers begin.
pub fn batch_head(plain: &[u8], first: u32, last: u32) -> Checked<usize> {
    let c = &mut Cursor::new(plain);
    covers(c.word()?, 0, "startSequence", first)?;
    covers(c.word()?, 4, "endSequence", last)?;
    covers(c.count(u32::MAX, least::LEDGER_CLOSE_META)?, 8, "count", last - first + 1)?;
    Ok(c.at())
}

fn covers(found: u32, at: usize, field: &str, expected: u32) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(Fault::new(at, format!("{field} {expected} of the batch"), found.to_string()))
}

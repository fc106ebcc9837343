//! A cursor over raw XDR (RFC 4506): moves forward, checks, builds nothing.
use crate::fault::{Checked, Fault};

/// Levels of nesting that stellar-core allows; a lower limit would refuse valid ledgers.
pub const MAX_DEPTH: u32 = 1500;

/// A place in the bytes of one ledger.
#[derive(Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0, depth: 0 }
    }

    /// Bytes from the start.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The place as spans keep it: containers refuse objects of 4 GiB and more.
    #[inline]
    pub fn mark(&self) -> u32 {
        self.at as u32
    }

    #[inline]
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes from an earlier place to here.
    #[inline]
    pub fn since(&self, mark: u32) -> &'a [u8] {
        &self.bytes[mark as usize..self.at]
    }

    /// Moves past `n` bytes of any content.
    #[inline]
    pub fn skip(&mut self, n: usize) -> Checked {
        if n > self.left() {
            return Err(self.short(n));
        }
        self.at += n;
        Ok(())
    }

    /// Reads four bytes, big-endian.
    #[inline]
    pub fn word(&mut self) -> Checked<u32> {
        match self.bytes[self.at..].first_chunk() {
            Some(four) => {
                self.at += 4;
                Ok(u32::from_be_bytes(*four))
            }
            None => Err(self.short(4)),
        }
    }

    /// Reads a signed integer: a version, a discriminant, an enum's member.
    #[inline]
    pub fn int(&mut self) -> Checked<i32> {
        Ok(self.word()? as i32)
    }

    /// Moves past a boolean: 0 or 1 and nothing else.
    #[inline]
    pub fn boolean(&mut self) -> Checked {
        let at = self.at;
        match self.word()? {
            0 | 1 => Ok(()),
            found => Err(wrong(at, "a boolean, 0 or 1", found)),
        }
    }

    /// Reads whether an optional value follows.
    #[inline]
    pub fn optional(&mut self) -> Checked<bool> {
        let at = self.at;
        match self.word()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(wrong(at, "0 or 1 before an optional value", found)),
        }
    }

    /// Reads an array's length: at most `most`, and what the bytes left can hold at `least` bytes an element.
    #[inline]
    pub fn count(&mut self, most: u32, least: usize) -> Checked<u32> {
        let at = self.at;
        let count = self.word()?;
        if count > most || count as usize * least > self.left() {
            return Err(self.long(at, count, most, least, "elements"));
        }
        Ok(count)
    }

    /// Moves past an array of elements of `size` bytes that need no check.
    #[inline]
    pub fn plain_array(&mut self, most: u32, size: usize) -> Checked {
        let count = self.count(most, size)?;
        self.skip(count as usize * size)
    }

    /// Moves past variable-length bytes or a string of at most `most` bytes, and its zero padding.
    #[inline]
    pub fn opaque(&mut self, most: u32) -> Checked {
        let at = self.at;
        let length = self.word()?;
        if length > most || length as usize > self.left() {
            return Err(self.long(at, length, most, 1, "bytes"));
        }
        self.padded(length as usize)
    }

    /// Reads variable-length bytes of at most `most` bytes, and moves past them and their padding.
    pub fn bytes(&mut self, most: u32) -> Checked<&'a [u8]> {
        let at = self.at;
        let length = self.word()?;
        self.at = at;
        self.opaque(most)?;
        Ok(&self.bytes[at + 4..][..length as usize])
    }

    /// Moves past `n` bytes and the zeros that fill up to a multiple of four.
    #[inline]
    pub fn padded(&mut self, n: usize) -> Checked {
        let padding = n.wrapping_neg() % 4;
        self.skip(n + padding)?;
        if padding > 0 {
            let last = self.bytes[..self.at].last_chunk().map_or(0, |four| u32::from_be_bytes(*four));
            if last << (32 - 8 * padding) != 0 {
                return Err(self.filled(padding));
            }
        }
        Ok(())
    }

    /// Goes one level down into a type that can hold itself.
    #[inline]
    pub fn enter(&mut self) -> Checked {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::new(self.at, format!("at most {MAX_DEPTH} levels of nesting"), "more"));
        }
        Ok(())
    }

    /// Comes one level up.
    #[inline]
    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Refuses an integer that stands at `at`.
    #[cold]
    pub fn refuse_value<T>(&self, at: usize, expected: &str, found: i32) -> Checked<T> {
        Err(Fault::new(at, expected, found.to_string()))
    }

    #[cold]
    #[inline(never)]
    fn filled(&self, padding: usize) -> Box<Fault> {
        let at = self.at - padding;
        Fault::new(at, "zero padding", format!("{:?}", &self.bytes[at..self.at]))
    }

    #[cold]
    #[inline(never)]
    fn short(&self, n: usize) -> Box<Fault> {
        Fault::new(self.at, format!("{n} more bytes"), format!("the end after {}", self.left()))
    }

    #[cold]
    #[inline(never)]
    fn long(&self, at: usize, count: u32, most: u32, least: usize, what: &str) -> Box<Fault> {
        if count > most {
            return Fault::new(at, format!("at most {most} {what}"), count.to_string());
        }
        let room = self.left() / least.max(1);
        Fault::new(at, format!("at most {room} {what} in the bytes left"), count.to_string())
    }
}

#[cold]
#[inline(never)]
fn wrong(at: usize, expected: &str, found: u32) -> Box<Fault> {
    Fault::new(at, expected, found.to_string())
}

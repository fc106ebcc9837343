//! What is wrong with bytes, and where: the errors that they can cause.
use std::fmt;

/// Damage at one place in the bytes that were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from the start of what was looked at: a `LedgerCloseMeta`, or a plain object.
    pub at: usize,
    /// What should have been there.
    pub expected: String,
    /// What is there instead.
    pub found: String,
}

/// A result whose error is one pointer, so that checking it costs one comparison.
pub type Checked<T = ()> = Result<T, Box<Fault>>;

impl Fault {
    /// Boxes a fault; cold, so that the way without one stays straight.
    #[cold]
    #[inline(never)]
    pub fn new(at: usize, expected: impl Into<String>, found: impl Into<String>) -> Box<Self> {
        Box::new(Fault { at, expected: expected.into(), found: found.into() })
    }
}

/// A fault with the ledger that was expected there and the object that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptLedger {
    /// Name of the object or stream.
    pub object: String,
    /// The ledger that the plan expected, never one read from damaged bytes; 0 where no plan is known yet.
    pub ledger: u32,
    /// The damage; its place counts from the ledger's start, or from the plain object's.
    pub fault: Fault,
    /// The damage is one of the container, not of a ledger.
    pub container: bool,
}

impl fmt::Display for CorruptLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ledger {
            0 => write!(f, "corrupt stream {}", self.object)?,
            ledger => write!(f, "corrupt ledger {ledger} in {}", self.object)?,
        }
        let Fault { at, expected, found } = &self.fault;
        write!(f, " at byte {at}: expected {expected}, found {found}")
    }
}

/// A fault in an object of a history archive; its place counts in the plain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptArchive {
    /// Name of the object.
    pub object: String,
    /// The damage.
    pub fault: Fault,
}

impl fmt::Display for CorruptArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { at, expected, found } = &self.fault;
        write!(f, "corrupt {} at byte {at}: expected {expected}, found {found}", self.object)
    }
}

/// Lower-case hexadecimal, for hashes in messages.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The few ways making a lake can end early.
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A source ledger that is not sound, in the words of the decoder's own error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptSource {
    /// Name of the object, as it was given.
    pub object: String,
    /// The ledger expected there; 0 where not even that is known.
    pub ledger: u32,
    /// Counts from the start of the `LedgerCloseMeta`, for damage of the container from the start of the plain object.
    pub offset: u64,
    /// What should have been there.
    pub expected: String,
    /// What is there instead.
    pub found: String,
    /// The damage is one of the container, not of a ledger.
    pub container: bool,
}

impl fmt::Display for CorruptSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, ledger, offset, expected, found, .. } = self;
        write!(f, "corrupt ledger {ledger} in {object} at byte {offset}: expected {expected}, found {found}")
    }
}

#[derive(Debug)]
pub enum MakeError {
    /// An argument that makes no sense.
    Argument(String),
    /// The folder or an object cannot be written.
    Io { path: PathBuf, error: io::Error },
    /// A source ledger that does not decode, or whose proofs do not hold.
    Source(Box<CorruptSource>),
    /// The caller asked to stop.
    Interrupted,
}

impl MakeError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), error }
    }

    pub(crate) fn argument(text: impl Into<String>) -> Self {
        Self::Argument(text.into())
    }
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(text) => f.write_str(text),
            Self::Io { path, error } => write!(f, "cannot write {}: {error}", path.display()),
            Self::Source(corrupt) => corrupt.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for MakeError {}

impl From<CorruptSource> for MakeError {
    fn from(corrupt: CorruptSource) -> Self {
        Self::Source(Box::new(corrupt))
    }
}

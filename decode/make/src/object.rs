//! One object: a batch of ledgers, compressed, and written so that no reader sees half of it.
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use zstd::zstd_safe::CParameter;

use crate::draft::Linked;
use crate::error::MakeError;
use crate::xdr::{put, put_u32};

/// The level that Galexie uses.
const LEVEL: i32 = 3;

/// Compresses object after object; keeps its buffers, so one a thread.
pub struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    plain: Vec<u8>,
}

impl Packer {
    pub fn new() -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        // Galexie streams into its encoder, so real frames do not tell their size either.
        compressor.set_parameter(CParameter::ContentSizeFlag(false))?;
        Ok(Self { compressor, plain: Vec::new() })
    }

    /// The bytes of the object that holds `ledgers`.
    pub fn pack(&mut self, range: &RangeInclusive<u32>, ledgers: &[Linked<'_>]) -> io::Result<Vec<u8>> {
        self.plain.clear();
        put(&mut self.plain, range.start());
        put(&mut self.plain, range.end());
        put_u32(&mut self.plain, ledgers.len());
        for ledger in ledgers {
            ledger.write(&mut self.plain);
        }
        self.compressor.compress(&self.plain)
    }
}

/// Write `data` at `root/key` whole or not at all.
pub fn publish(root: &Path, key: &str, data: &[u8]) -> Result<(), MakeError> {
    let path = root.join(key);
    let folder = path.parent().unwrap_or(root);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = folder.join(format!(".{name}.part"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&part, data))
        .and_then(|()| fs::rename(&part, &path))
        .map_err(|error| MakeError::io(&path, error))
}

/// Make the lake's root; a folder with anything in it is refused.
pub fn make_root(root: &Path) -> Result<(), MakeError> {
    let made = fs::create_dir_all(root).and_then(|()| fs::read_dir(root)?.next().transpose());
    match made {
        Ok(None) => Ok(()),
        Ok(Some(_)) => {
            let text = "the folder is not empty: remove it, or name another";
            Err(MakeError::io(root, io::Error::new(io::ErrorKind::AlreadyExists, text)))
        }
        Err(error) => Err(MakeError::io(root, error)),
    }
}

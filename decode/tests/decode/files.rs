//! Real ledgers, where they are at hand: beside the project, in `../shared`.
use std::fs;
use std::path::{Path, PathBuf};

/// A plain ledger with the file it came from.
pub struct Real {
    pub file: String,
    pub bytes: Vec<u8>,
}

/// The folder of real ledgers; None, with a word about it, where it is absent.
pub fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/ledgers");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the real ledgers are not at hand, there is no folder {}", folder.display());
    None
}

/// Paths below `folder` that end in `ending`, in order.
pub fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(below(&entry, ending));
        } else if entry.to_string_lossy().ends_with(ending) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// The ledgers of a record-marked stream.
pub fn records(plain: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < plain.len() {
        let mark = u32::from_be_bytes(plain[at..at + 4].try_into().expect("four bytes"));
        let end = at + 4 + (mark & 0x7fff_ffff) as usize;
        out.push(plain[at + 4..end].to_vec());
        at = end;
    }
    out
}

/// Every real ledger: of the lakes, whose objects hold one each, and of the streams.
pub fn real() -> Vec<Real> {
    let Some(folder) = shared() else { return Vec::new() };
    let mut out = Vec::new();
    for path in below(&folder, ".xdr.zst") {
        let plain = zstd::decode_all(fs::File::open(&path).expect("open")).expect("a zstd file");
        let is_stream = path.starts_with(folder.join("streams"));
        let ledgers = if is_stream { records(&plain) } else { vec![plain[12..].to_vec()] };
        out.extend(ledgers.into_iter().map(|bytes| Real { file: path.display().to_string(), bytes }));
    }
    for path in below(&folder.join("streams"), ".xdr") {
        let ledgers = records(&fs::read(&path).expect("read"));
        out.extend(ledgers.into_iter().map(|bytes| Real { file: path.display().to_string(), bytes }));
    }
    out
}

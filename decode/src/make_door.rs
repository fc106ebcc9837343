//! The door to the maker of lakes; the documentation is in `workers/_decode.pyi`.
use crate::door::corrupt;
use crate::fault::{CorruptLedger, Fault};
use ledgerfill_make::{Content, CorruptSource, MakeError, Order};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use std::io;
use std::path::PathBuf;

#[pyfunction]
#[pyo3(signature = (
    path, *, ledgers, first = Number(2), seed = Number(1), shape = "pubnet", source = Vec::new(),
    source_passphrase = "", ledgers_per_object = Number(1), objects_per_partition = Number(64_000),
    threads = Number(1)
))]
// Each is an argument of the Python function.
#[allow(clippy::too_many_arguments)]
pub fn make_lake(
    py: Python<'_>,
    path: PathBuf,
    ledgers: Number,
    first: Number,
    seed: Number,
    shape: &str,
    source: Vec<(String, PyBuffer<u8>)>,
    source_passphrase: &str,
    ledgers_per_object: Number,
    objects_per_partition: Number,
    threads: Number,
) -> PyResult<()> {
    let objects = source.iter().map(|(name, buffer)| Ok((name.as_str(), bytes(name, buffer)?)));
    let objects = objects.collect::<PyResult<Vec<_>>>()?;
    let order = Order {
        path: &path,
        first: first.count("first")?,
        ledgers: ledgers.count("ledgers")?,
        seed: seed.0 as u64,
        content: content(shape, &objects, source_passphrase)?,
        ledgers_per_object: ledgers_per_object.count("ledgers_per_object")?,
        objects_per_partition: objects_per_partition.count("objects_per_partition")?,
        threads: threads.count("threads")? as usize,
    };
    let mut signal = None;
    let made = py.detach(|| ledgerfill_make::make_lake(&order, &mut || keep_going(&mut signal)));
    made.map(|_| ()).map_err(|error| raised(py, error, signal))
}

/// An integer of any size that Python has, refused as a value where it is too large.
pub struct Number(i64);

impl FromPyObject<'_, '_> for Number {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        value.extract().map(Self).map_err(|error| {
            let too_large = error.is_instance_of::<PyOverflowError>(value.py());
            if too_large { PyValueError::new_err(format!("{} is too large", &*value)) } else { error }
        })
    }
}

impl Number {
    fn count(&self, name: &str) -> PyResult<u32> {
        let error = || PyValueError::new_err(format!("{name} is {}: not a count", self.0));
        u32::try_from(self.0).map_err(|_| error())
    }
}

fn content<'a>(shape: &str, objects: &'a [(&'a str, &'a [u8])], passphrase: &'a str) -> PyResult<Content<'a>> {
    match shape {
        _ if !objects.is_empty() => Ok(Content::Repeat { objects, passphrase }),
        "pubnet" => Ok(Content::Pubnet),
        "sparse" => Ok(Content::Sparse),
        "tokens" => Ok(Content::Tokens),
        _ => Err(PyValueError::new_err(format!("shape is {shape}: neither pubnet nor sparse nor tokens"))),
    }
}

fn bytes<'a>(name: &str, buffer: &'a PyBuffer<u8>) -> PyResult<&'a [u8]> {
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err(format!("{name}: the buffer is not contiguous")));
    }
    match buffer.len_bytes() {
        0 => Ok(&[]),
        // SAFETY: the buffer is contiguous, is held until the call ends, and its owner does not change it meanwhile
        length => Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), length) }),
    }
}

/// Whether no signal has come; one that has is kept.
fn keep_going(signal: &mut Option<PyErr>) -> bool {
    let came = Python::attach(|py| py.check_signals().err());
    *signal = came.or(signal.take());
    signal.is_none()
}

fn raised(py: Python<'_>, error: MakeError, signal: Option<PyErr>) -> PyErr {
    match error {
        MakeError::Argument(text) => PyValueError::new_err(text),
        MakeError::Io { error: ref cause, .. } => io::Error::new(cause.kind(), error.to_string()).into(),
        MakeError::Source(source) => corrupt(py, &unsound(*source)).unwrap_or_else(|error| error),
        MakeError::Interrupted => signal.unwrap_or_else(|| io::Error::from(io::ErrorKind::Interrupted).into()),
    }
}

fn unsound(source: CorruptSource) -> CorruptLedger {
    let CorruptSource { object, ledger, offset, expected, found, container } = source;
    CorruptLedger { object, ledger, fault: Fault { at: offset as usize, expected, found }, container }
}

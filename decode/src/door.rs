//! What Python sees: drops the GIL, calls, maps the error. The documentation is in `workers/_decode.pyi`.
use crate::chunk::{self, MAX_OBJECT_BYTES, Nanoseconds, Object, Request};
use crate::columns_door::{PyWant, events, wants};
use crate::fault;
use crate::picks::{Events, Picks};
use crate::prove::Hash;
use crate::rows::{BASE, Rows, Section};
use crate::spec;
use crate::stream::{self, MAX_RECORD_BYTES, Unindexed};
use crate::token::PROTOCOLS;
use pyo3::buffer::{PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyTuple};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};

pyo3::create_exception!(workers._decode, CorruptLedger, PyException, "Bytes that are no sound ledger.");

/// Makes the Python exception with its attributes.
pub fn corrupt(py: Python<'_>, error: &fault::CorruptLedger) -> PyResult<PyErr> {
    let raised = CorruptLedger::new_err(error.to_string());
    let value = raised.value(py);
    value.setattr("object", &error.object)?;
    value.setattr("ledger", error.ledger)?;
    value.setattr("offset", error.fault.at)?;
    value.setattr("expected", &error.fault.expected)?;
    value.setattr("container", error.container)?;
    Ok(raised)
}

pub fn value_error(mistake: impl Into<String>) -> PyErr {
    PyValueError::new_err(mistake.into())
}

/// A file descriptor that stays the caller's.
fn borrowed(fd: RawFd) -> PyResult<ManuallyDrop<File>> {
    if fd < 0 {
        return Err(value_error(format!("no file descriptor: {fd}")));
    }
    // SAFETY: the caller keeps `fd` open during the call, and it is never closed here
    Ok(ManuallyDrop::new(unsafe { File::from_raw_fd(fd) }))
}

#[pyclass(frozen, get_all, module = "workers._decode")]
#[derive(Debug)]
pub struct Chunk {
    ledgers: u32,
    previous_hash: Py<PyBytes>,
    first_hash: Py<PyBytes>,
    last_hash: Py<PyBytes>,
    sections: Py<PyTuple>,
    plain_bytes: u64,
    event_hash_mismatches: u64,
    left_alone: Py<PyDict>,
    events: Py<PyTuple>,
    nanoseconds: Py<PyDict>,
    error: Option<Py<PyAny>>,
}

impl Chunk {
    fn new(py: Python<'_>, chunk: &chunk::Chunk, picked: &[Vec<Events>]) -> PyResult<Self> {
        let hash = |hash: Option<Hash>| PyBytes::new(py, hash.as_ref().map_or(&[], |hash| hash.as_slice())).unbind();
        let error = chunk.error.as_ref().map(|error| corrupt(py, error)).transpose()?;
        Ok(Chunk {
            ledgers: chunk.ledgers,
            previous_hash: hash(chunk.previous_hash),
            first_hash: hash(chunk.first_hash),
            last_hash: hash(chunk.last_hash),
            sections: PyTuple::new(py, chunk.sections.iter().copied::<Section>())?.unbind(),
            plain_bytes: chunk.plain_bytes,
            event_hash_mismatches: chunk.event_hash_mismatches,
            left_alone: PROTOCOLS.into_iter().zip(chunk.left_alone).into_py_dict(py)?.unbind(),
            events: events(py, picked)?.unbind(),
            nanoseconds: nanoseconds(py, chunk.nanoseconds)?.unbind(),
            error: error.map(|error| error.into_value(py).into_any()),
        })
    }
}

fn nanoseconds(py: Python<'_>, time: Nanoseconds) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("decompress", time.decompress)?;
    dict.set_item("walk", time.walk)?;
    dict.set_item("prove", time.prove)?;
    dict.set_item("encode", time.encode)?;
    dict.set_item("write", time.write)?;
    Ok(dict)
}

#[pyclass(module = "workers._decode")]
#[derive(Debug)]
pub struct Decoder {
    inner: chunk::Decoder,
}

fn base() -> Vec<String> {
    BASE.map(String::from).to_vec()
}

/// An object as Python gives it.
type PyObject = (String, u32, u32, PyBuffer<u8>);

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (
        network_passphrase, *, trusted = HashMap::new(), max_object_bytes = MAX_OBJECT_BYTES, tables = base(),
        wanted = Vec::new()
    ))]
    fn new(
        network_passphrase: &str,
        trusted: HashMap<u32, Vec<u8>>,
        max_object_bytes: usize,
        tables: Vec<String>,
        wanted: Vec<PyWant>,
    ) -> PyResult<Self> {
        let trusted: Result<HashMap<u32, Hash>, _> =
            trusted.into_iter().map(|(ledger, hash)| hash.try_into().map(|hash| (ledger, hash))).collect();
        let trusted = trusted.map_err(|_| value_error("a trusted hash has 32 bytes"))?;
        let rows = Rows::of(tables.iter().map(String::as_str)).map_err(value_error)?;
        let rows = rows.picking(Picks::new(wants(wanted)));
        Ok(Decoder { inner: chunk::Decoder::new(network_passphrase, trusted, max_object_bytes).making(rows) })
    }

    #[getter]
    fn tables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.tables())
    }

    #[pyo3(signature = (first, last, objects, fd, *, framed = false))]
    fn chunk(
        &mut self,
        py: Python<'_>,
        first: u32,
        last: u32,
        objects: Vec<PyObject>,
        fd: RawFd,
        framed: bool,
    ) -> PyResult<Chunk> {
        let objects = objects.iter().map(object).collect::<PyResult<Vec<_>>>()?;
        let request = Request { first, last, objects: &objects, framed };
        if let Some(mistake) = request.mistake() {
            return Err(value_error(mistake));
        }
        let mut out = if !self.inner.tables().is_empty() { Some(Borrowed(borrowed(fd)?)) } else { None };
        let chunk = py.detach(|| -> io::Result<_> {
            let mut chunk = self.inner.chunk(request);
            if let Some(out) = &mut out {
                self.inner.write(&mut chunk, out)?;
            }
            Ok(chunk)
        })?;
        Chunk::new(py, &chunk, &self.inner.take_picks())
    }
}

fn object((name, first, last, buffer): &PyObject) -> PyResult<Object<'_>> {
    Ok(Object { name, first: *first, last: *last, bytes: bytes_of(buffer, name)? })
}

/// The bytes of a buffer of this name.
pub fn bytes_of<'a>(buffer: &'a PyUntypedBuffer, name: &str) -> PyResult<&'a [u8]> {
    if !buffer.is_c_contiguous() {
        return Err(value_error(format!("{name}: the buffer is not contiguous")));
    }
    match buffer.len_bytes() {
        0 => Ok(&[]),
        // SAFETY: the buffer is contiguous, is held until the call ends, and its owner does not change it meanwhile
        length => Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), length) }),
    }
}

/// First and last ledger, and what is wrong with the stream's end.
type Indexed = (u32, u32, Option<Py<PyAny>>);

#[pyfunction]
#[pyo3(signature = (path, index_fd, spool_fd, *, max_record_bytes = MAX_RECORD_BYTES))]
pub fn index_stream(
    py: Python<'_>,
    path: String,
    index_fd: RawFd,
    spool_fd: RawFd,
    max_record_bytes: u32,
) -> PyResult<Indexed> {
    let mut index = borrowed(index_fd)?;
    let mut spool: Box<dyn Write + Send> =
        if spool_fd < 0 { Box::new(io::sink()) } else { Box::new(Borrowed(borrowed(spool_fd)?)) };
    let result = py.detach(|| stream::index_stream(&path, &mut *index, &mut *spool, max_record_bytes));
    match result {
        Ok(indexed) => {
            let error = indexed.error.as_ref().map(|error| corrupt(py, error)).transpose()?;
            Ok((indexed.first, indexed.last, error.map(|error| error.into_value(py).into_any())))
        }
        Err(Unindexed::Io(error)) => Err(error.into()),
        Err(Unindexed::Corrupt(error)) => Err(corrupt(py, &error)?),
    }
}

#[pyfunction]
pub fn contract_spec<'py>(py: Python<'py>, code: &[u8]) -> Option<Bound<'py, PyBytes>> {
    py.detach(|| spec::contract_spec(code)).map(|spec| PyBytes::new(py, &spec))
}

/// A function as Python sees it.
type PyFunction<'py> = (String, Bound<'py, PyTuple>, Bound<'py, PyTuple>);

#[pyfunction]
pub fn spec_functions<'py>(py: Python<'py>, spec: &[u8]) -> PyResult<Vec<PyFunction<'py>>> {
    let functions = py.detach(|| spec::spec_functions(spec)).map_err(value_error)?;
    functions
        .into_iter()
        .map(|(name, inputs, outputs)| Ok((name, PyTuple::new(py, inputs)?, PyTuple::new(py, outputs)?)))
        .collect()
}

/// Writes to a descriptor without owning it.
struct Borrowed(ManuallyDrop<File>);

impl Write for Borrowed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

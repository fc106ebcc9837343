//! What Python sees of history archives. The documentation is in `workers/_decode.pyi`.
use crate::bucket;
use crate::door::{bytes_of, value_error};
use crate::fault;
use crate::prove::Hash;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pyo3::create_exception!(workers._decode, CorruptArchive, PyException, "Bytes of a history archive that are not sound.");

/// Makes the Python exception with its attributes.
fn corrupt(py: Python<'_>, error: &fault::CorruptArchive) -> PyErr {
    let raised = CorruptArchive::new_err(error.to_string());
    let value = raised.value(py);
    let set = value
        .setattr("object", &error.object)
        .and_then(|()| value.setattr("offset", error.fault.at))
        .and_then(|()| value.setattr("expected", &error.fault.expected));
    set.err().unwrap_or(raised)
}

#[pyclass(module = "workers._decode")]
#[derive(Debug)]
pub struct Buckets {
    inner: bucket::Buckets,
}

#[pymethods]
impl Buckets {
    #[new]
    fn new() -> Self {
        Buckets { inner: bucket::Buckets::default() }
    }

    #[pyo3(signature = (bucket_hash, *, hash_only = false))]
    fn start(&mut self, bucket_hash: &[u8], hash_only: bool) -> PyResult<()> {
        let hash = bucket_hash.try_into().map_err(|_| value_error("the hash of a bucket has 32 bytes"))?;
        self.inner.start(hash, hash_only);
        Ok(())
    }

    fn feed(&mut self, py: Python<'_>, plain: PyBuffer<u8>) -> PyResult<()> {
        self.require_started()?;
        let plain = bytes_of(&plain, "plain")?;
        py.detach(|| self.inner.feed(plain)).map_err(|error| corrupt(py, &error))
    }

    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        self.require_started()?;
        py.detach(|| self.inner.end()).map_err(|error| corrupt(py, &error))
    }

    fn instances(this: Py<Self>) -> Instances {
        Instances { of: this, last: None }
    }

    fn specs(this: Py<Self>) -> Specs {
        Specs { of: this, last: None }
    }
}

impl Buckets {
    fn require_started(&self) -> PyResult<()> {
        if self.inner.has_started() { Ok(()) } else { Err(value_error("no bucket has been started")) }
    }
}

/// Goes by the last key that was given, so that nothing is copied and the buckets may be fed meanwhile.
#[pyclass]
struct Instances {
    of: Py<Buckets>,
    last: Option<Hash>,
}

/// A contract, the hash of its WASM and its name.
type PyInstance<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>, Option<String>);

#[pymethods]
impl Instances {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<PyInstance<'py>>> {
        let of = self.of.try_borrow(py)?;
        let Some((contract, found)) = of.inner.instance_after(self.last.as_ref()) else { return Ok(None) };
        self.last = Some(*contract);
        let wasm_hash = found.wasm_hash.map(|hash| PyBytes::new(py, &hash));
        Ok(Some((PyBytes::new(py, contract), wasm_hash, found.name.as_deref().map(str::to_owned))))
    }
}

#[pyclass]
struct Specs {
    of: Py<Buckets>,
    last: Option<Hash>,
}

/// The hash of a code and its specification.
type PySpec<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

#[pymethods]
impl Specs {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<PySpec<'py>>> {
        let of = self.of.try_borrow(py)?;
        let Some((hash, spec)) = of.inner.spec_after(self.last.as_ref()) else { return Ok(None) };
        self.last = Some(*hash);
        Ok(Some((PyBytes::new(py, hash), spec.as_ref().map(|spec| PyBytes::new(py, spec)))))
    }
}

/// Sequence, hash, previous hash, hash of the bucket list, protocol.
type PyHeader<'py> = (u32, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>, u32);

#[pyfunction]
#[pyo3(signature = (raw, *, name = "ledger header"))]
pub fn ledger_header<'py>(py: Python<'py>, raw: PyBuffer<u8>, name: &str) -> PyResult<PyHeader<'py>> {
    let raw = bytes_of(&raw, name)?;
    let found = bucket::ledger_header(raw, name).map_err(|error| corrupt(py, &error))?;
    let [hash, previous, list] =
        [found.head.hash, found.head.previous, found.bucket_list_hash].map(|hash| PyBytes::new(py, hash));
    Ok((found.head.sequence, hash, previous, list, found.head.protocol))
}

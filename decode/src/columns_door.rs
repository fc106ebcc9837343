//! What Python sees of columns: arrays of pyarrow in, raw buffers out. The documentation is in `workers/_decode.pyi`.
use crate::column::{Binary, Column};
use crate::door::{bytes_of, value_error};
use crate::picks::{Events, Want};
use crate::scvals::{Found, text_kind};
use crate::table_copy::{self, Field, Kind};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

/// What a plug-in wants, as Python gives it.
pub type PyWant = (Vec<String>, bool);

pub fn wants(wanted: Vec<PyWant>) -> Vec<Want> {
    wanted.into_iter().map(|(topics, assets)| Want { topics, assets }).collect()
}

/// The events for each plug-in, by call: the number of rows, and the buffers.
pub fn events<'py>(py: Python<'py>, picked: &[Vec<Events>]) -> PyResult<Bound<'py, PyTuple>> {
    let calls = picked.iter().map(|calls| {
        let calls = calls.iter().map(|events| (events.length, buffers(py, events)));
        PyTuple::new(py, calls.collect::<Vec<_>>())
    });
    PyTuple::new(py, calls.collect::<PyResult<Vec<_>>>()?)
}

fn buffers<'py>(py: Python<'py>, events: &Events) -> Vec<Bound<'py, PyBytes>> {
    let Events { ledger, operation, index, contract, lists, topics, data, certain, .. } = events;
    let all = [
        ledger,
        operation,
        index,
        contract,
        lists,
        &topics.offsets,
        &topics.content,
        &data.offsets,
        &data.content,
        &certain.bytes,
    ];
    all.map(|buffer| PyBytes::new(py, buffer)).into()
}

/// An array of pyarrow; its buffers stay as they are while this lives.
struct Held {
    length: usize,
    offset: usize,
    buffers: Vec<Option<PyUntypedBuffer>>,
}

impl Held {
    fn of(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffers: Vec<Option<Bound<PyAny>>> = array.call_method0("buffers")?.extract()?;
        let buffers = buffers.into_iter().map(|buffer| buffer.as_ref().map(PyUntypedBuffer::get).transpose());
        Ok(Held {
            length: array.len()?,
            offset: array.getattr("offset")?.extract()?,
            buffers: buffers.collect::<PyResult<_>>()?,
        })
    }

    fn column(&self) -> PyResult<Column<'_>> {
        let buffer = |at: usize| self.buffers.get(at).and_then(Option::as_ref).map(|found| bytes_of(found, "column"));
        Ok(Column {
            length: self.length,
            offset: self.offset,
            validity: buffer(0).transpose()?,
            values: buffer(1).transpose()?.unwrap_or_default(),
            content: buffer(2).transpose()?.unwrap_or_default(),
        })
    }
}

/// Rows without a value, which rows have one, the buffers of the values.
type PyFound<'py> = (usize, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

fn find<'py>(values: &Bound<'py, PyAny>, read: impl FnOnce(&Column) -> Found + Send) -> PyResult<PyFound<'py>> {
    let (py, held) = (values.py(), Held::of(values)?);
    let column = held.column()?;
    let Found { validity, values: Binary { offsets, content }, nulls } = py.detach(|| read(&column));
    let bytes = |buffer: &[u8]| PyBytes::new(py, buffer);
    Ok((nulls, bytes(&validity.bytes), bytes(&offsets), bytes(&content)))
}

#[pyfunction]
pub fn scval_addresses<'py>(values: &Bound<'py, PyAny>) -> PyResult<PyFound<'py>> {
    find(values, Found::addresses)
}

#[pyfunction]
pub fn scval_integers<'py>(values: &Bound<'py, PyAny>) -> PyResult<PyFound<'py>> {
    find(values, Found::integers)
}

#[pyfunction]
pub fn scval_texts<'py>(values: &Bound<'py, PyAny>, kind: &str) -> PyResult<PyFound<'py>> {
    let kind = text_kind(kind).ok_or_else(|| value_error(format!("no kind of text: {kind:?}")))?;
    find(values, move |column| Found::texts(column, kind))
}

#[pyfunction]
pub fn scval_elements<'py>(values: &Bound<'py, PyAny>, index: u32) -> PyResult<PyFound<'py>> {
    find(values, move |column| Found::elements(column, index))
}

#[pyfunction]
pub fn scval_fields<'py>(values: &Bound<'py, PyAny>, name: &str) -> PyResult<PyFound<'py>> {
    find(values, |column| Found::fields(column, name.as_bytes()))
}

/// A column as Python gives it: name, kind, whether a row may have no value, whether integers are `SCVal`s, array.
type PyField<'py> = (String, String, bool, bool, Bound<'py, PyAny>);

#[pyfunction]
pub fn copy_rows<'py>(py: Python<'py>, rows: usize, columns: Vec<PyField<'py>>) -> PyResult<Bound<'py, PyBytes>> {
    let held = columns.iter().map(|(.., array)| Held::of(array)).collect::<PyResult<Vec<_>>>()?;
    let fields = columns.iter().zip(&held).map(|((name, kind, nullable, is_values, _), held)| {
        let kind = Kind::of(kind).ok_or_else(|| value_error(format!("{name}: no kind of column: {kind:?}")))?;
        if held.length != rows {
            return Err(value_error(format!("{name}: {} values for {rows} rows", held.length)));
        }
        Ok(Field { name, kind, nullable: *nullable, is_values: *is_values, column: held.column()? })
    });
    let fields = fields.collect::<PyResult<Vec<_>>>()?;
    let rows = py.detach(|| table_copy::rows(&fields, rows)).map_err(value_error)?;
    Ok(PyBytes::new(py, rows.bytes()))
}

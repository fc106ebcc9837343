//! The door: drops the GIL, calls, maps the error.
#[cfg(feature = "python")]
#[pyo3::pymodule]
mod _decode {}

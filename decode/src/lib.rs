//! Raw ledgers in, proofs checked, rows out as binary COPY.
//!
//! Only `door` knows Python; it is there with the feature `python`.
pub mod bucket;
mod changes;
pub mod chunk;
pub mod container;
pub mod contract;
mod contract_rows;
pub mod copy;
pub mod cursor;
mod envelope;
pub mod fault;
pub mod ledger;
pub mod matching;
mod meta;
pub mod prove;
pub mod rows;
pub mod skip;
pub mod source;
pub mod spec;
pub mod stream;
mod token;
pub mod walk;

#[cfg(feature = "python")]
mod bucket_door;
#[cfg(feature = "python")]
mod door;
#[cfg(feature = "python")]
mod make_door;

/// The door: `workers._decode`.
#[cfg(feature = "python")]
#[pyo3::pymodule]
mod _decode {
    #[pymodule_export]
    use super::bucket_door::{Buckets, CorruptArchive, ledger_header};
    #[pymodule_export]
    use super::door::{Chunk, CorruptLedger, Decoder, contract_spec, index_stream, spec_functions};
    #[pymodule_export]
    use super::make_door::make_lake;
}

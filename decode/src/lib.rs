//! Raw ledgers in, proofs checked, rows out as binary COPY.
//!
//! Only `door` knows Python; it is there with the feature `python`.
pub mod bucket;
mod changes;
pub mod chunk;
pub mod column;
pub mod container;
pub mod contract;
mod contract_rows;
pub mod copy;
pub mod cursor;
mod envelope;
pub mod fault;
pub mod integer;
pub mod ledger;
pub mod matching;
mod meta;
pub mod picks;
pub mod prove;
pub mod rows;
pub mod scvals;
pub mod skip;
pub mod source;
pub mod spec;
pub mod stream;
pub mod table_copy;
mod token;
pub mod walk;

#[cfg(feature = "python")]
mod bucket_door;
#[cfg(feature = "python")]
mod columns_door;
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
    use super::columns_door::{copy_rows, scval_addresses, scval_elements, scval_fields, scval_integers, scval_texts};
    #[pymodule_export]
    use super::door::{Chunk, CorruptLedger, Decoder, contract_spec, index_stream, spec_functions};
    #[pymodule_export]
    use super::make_door::make_lake;
    #[pymodule_export]
    const COPY_HEADER: &[u8] = super::copy::HEADER;
    #[pymodule_export]
    const COPY_TRAILER: &[u8] = &super::copy::TRAILER;
    #[pymodule_export]
    const SECTIONS: [&str; super::rows::TABLES.len()] = super::rows::TABLES;
}

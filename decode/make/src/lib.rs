//! Synthetic lakes that are valid in every hash.

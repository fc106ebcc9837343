//! The decoder as its users see it; the typed decoder is the reference.
mod agreement;
mod built;
mod changes;
mod containers;
mod contracts;
mod driver;
mod files;
mod proofs;
mod reference;
mod streams;
mod written;

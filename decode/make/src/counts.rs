//! What was put into a lake, counted on the way in, and the answers beside it.
use std::ops::AddAssign;

use crate::layout::{Layout, json_text};

/// Counts of one ledger, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ledgers: u64,
    pub transactions: u64,
    pub successful: u64,
    /// Operations in the envelopes, of failed transactions too.
    pub operations: u64,
    pub operation_events: u64,
    pub transaction_events: u64,
}

impl Counts {
    pub fn events(&self) -> u64 {
        self.operation_events + self.transaction_events
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.ledgers += other.ledgers;
        self.transactions += other.transactions;
        self.successful += other.successful;
        self.operations += other.operations;
        self.operation_events += other.operation_events;
        self.transaction_events += other.transaction_events;
    }
}

/// The three hashes that place a lake's chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// What the first ledger names as the one before it.
    pub previous: [u8; 32],
    pub first: [u8; 32],
    pub last: [u8; 32],
}

/// The text of `expected.json`.
pub fn expected(layout: &Layout, passphrase: &str, counts: &Counts, ends: &Ends) -> String {
    let numbers = [
        ("first", u64::from(layout.first)),
        ("last", u64::from(layout.last)),
        ("ledgers", counts.ledgers),
        ("transactions", counts.transactions),
        ("successful", counts.successful),
        ("operations", counts.operations),
        ("operation_events", counts.operation_events),
        ("transaction_events", counts.transaction_events),
        ("events", counts.events()),
    ];
    let hashes = [("previous_hash", ends.previous), ("first_hash", ends.first), ("last_hash", ends.last)];
    let mut lines = vec![format!("  \"network_passphrase\": {}", json_text(passphrase))];
    lines.extend(numbers.map(|(name, value)| format!("  \"{name}\": {value}")));
    lines.extend(hashes.map(|(name, hash)| format!("  \"{name}\": \"{}\"", hex(&hash))));
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

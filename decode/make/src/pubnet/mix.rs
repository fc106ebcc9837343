//! What happens in a ledger: the mix of transactions that a mean ledger of mid-2026 holds.
use crate::quota::numbers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Payment,
    ClaimableBalance,
    Offer,
    PathSend,
    PathReceive,
    Trust,
    Invoke,
}

/// One transaction, before it has parties.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    pub kind: Kind,
    pub successful: bool,
    pub operations: usize,
    /// Events of a contract call that succeeds; other kinds have as many as their changes call for.
    pub events: usize,
    pub form: Form,
}

/// How the envelope is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// The source account is muxed.
    Muxed,
    /// An inner transaction whose fee another account pays.
    FeeBump,
    /// `TransactionV0Envelope`, which old wallets still send.
    Legacy,
}

struct Row {
    kind: Kind,
    successful: bool,
    /// Transactions in a mean ledger are as many as there are sizes: operations in each.
    sizes: &'static [usize],
}

const ONE: [usize; 58] = [1; 58];
const PAYMENTS: [usize; 34] =
    [1, 1, 1, 1, 1, 1, 1, 1, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 43, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 65, 1, 1, 1];
const OFFERS: [usize; 46] = [
    1, 2, 4, 1, 6, 1, 2, 10, 1, 4, 2, 1, 17, 1, 2, 6, 1, 4, 2, 1, 10, 1, 2, 33, 1, 6, 2, 4, 1, 2, 10, 1, 6, 2, 4, 1, 2,
    17, 1, 10, 2, 4, 1, 6, 2, 1,
];

/// 267 transactions, 134 of them successful, 692 operations, 363 operation events.
const ROWS: [Row; 12] = [
    Row { kind: Kind::Payment, successful: true, sizes: &PAYMENTS },
    Row { kind: Kind::Payment, successful: false, sizes: ONE.split_at(12).0 },
    Row { kind: Kind::ClaimableBalance, successful: true, sizes: &[5, 100, 3, 5] },
    Row { kind: Kind::ClaimableBalance, successful: false, sizes: &[3, 25, 2, 10] },
    Row { kind: Kind::Offer, successful: true, sizes: &OFFERS },
    Row { kind: Kind::Offer, successful: false, sizes: ONE.split_at(2).0 },
    Row { kind: Kind::PathSend, successful: true, sizes: ONE.split_at(30).0 },
    Row { kind: Kind::PathSend, successful: false, sizes: &ONE },
    Row { kind: Kind::PathReceive, successful: true, sizes: ONE.split_at(7).0 },
    Row { kind: Kind::PathReceive, successful: false, sizes: ONE.split_at(46).0 },
    Row { kind: Kind::Trust, successful: true, sizes: ONE.split_at(2).0 },
    Row { kind: Kind::Invoke, successful: true, sizes: ONE.split_at(11).0 },
];
const FAILED_CALLS: Row = Row { kind: Kind::Invoke, successful: false, sizes: ONE.split_at(11).0 };
const CALL_EVENTS: [usize; 11] = [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 2];

/// The transactions of ledger `index`, kind by kind; `percent` scales the whole.
pub fn intents(index: u64, percent: u64) -> Vec<Intent> {
    ROWS.iter().chain([&FAILED_CALLS]).flat_map(|row| of_row(row, index, percent)).collect()
}

fn of_row(row: &'static Row, index: u64, percent: u64) -> impl Iterator<Item = Intent> {
    let rate = row.sizes.len() as u64 * percent;
    numbers(rate, index).map(|number| Intent {
        kind: row.kind,
        successful: row.successful,
        operations: row.sizes[number as usize % row.sizes.len()],
        events: CALL_EVENTS[number as usize % CALL_EVENTS.len()],
        form: form(row.kind, number),
    })
}

fn form(kind: Kind, number: u64) -> Form {
    match (kind, number % 34) {
        (Kind::Invoke, _) if number % 11 < 9 => Form::FeeBump,
        (Kind::Payment, 5) => Form::Legacy,
        (Kind::Payment, 11 | 24) => Form::Muxed,
        (_, 7 | 17 | 31) => Form::FeeBump,
        _ => Form::Plain,
    }
}

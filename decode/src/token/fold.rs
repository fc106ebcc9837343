//! What the events of a chunk come to: sums of balances, the last allowance, the last owner.
//!
//! Rows leave in the order of the key of their table, which is the order of its index, each with whether it is alone:
//! no other row of the chunk has its key, so whoever merges them need not fold it.
use crate::copy::Stream;
use crate::prove::Hash;
use crate::token::change::Place;
use crate::token::table::Table;
use crate::token::value::Address;

/// A contract as it is from one ledger on; what is certain of it is kept apart from what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Contract {
    certain: bool,
    as_of: i32,
    id: Hash,
}

impl Contract {
    fn at(place: &Place) -> Self {
        Contract { certain: place.certain, as_of: place.as_of, id: *place.contract }
    }
}

/// The places of `rows` rows in the order of their keys, each with whether it is the one row of its key.
fn in_order<K: Ord>(rows: usize, key: impl Fn(usize) -> K) -> impl Iterator<Item = (usize, bool)> {
    let mut places: Vec<usize> = (0..rows).collect();
    places.sort_unstable_by_key(|place| key(*place));
    (0..rows).map(move |at| {
        let same = |other: Option<&usize>| other.is_some_and(|other| key(*other) == key(places[at]));
        (places[at], !same(places[..at].last()) && !same(places.get(at + 1)))
    })
}

/// Sums of what balances change by.
#[derive(Debug, Default)]
pub struct Balances {
    sums: Table<(Contract, Address), Sum>,
    /// Sums that one more change would have carried out of an i128, by the place of their key.
    full: Vec<(u32, i128)>,
}

#[derive(Debug)]
struct Sum {
    delta: i128,
    last_ledger: i32,
}

impl Balances {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sums.clear();
        self.full.clear();
    }

    /// Adds a change.
    pub fn add(&mut self, place: &Place, account: &Address, delta: i128) {
        let new = Sum { delta: 0, last_ledger: 0 };
        let (at, sum) = self.sums.of((Contract::at(place), *account), new);
        match sum.delta.checked_add(delta) {
            Some(more) => sum.delta = more,
            None => self.full.push((at, std::mem::replace(&mut sum.delta, delta))),
        }
        sum.last_ledger = place.ledger;
    }

    /// Writes a row a key, and one more for each time that its sum was full. A sum of zero is a row as well:
    /// the account's last ledger is another.
    pub fn write(&self, row: &mut Stream) {
        let all = (0..).zip(self.sums.values()).map(|(at, (_, sum))| (at, sum.delta));
        let all: Vec<(u32, i128)> = all.chain(self.full.iter().copied()).collect();
        let sum_of = |at: usize| &self.sums.values()[all[at].0 as usize];
        let key = |at| {
            let ((contract, account), _) = sum_of(at);
            (&contract.id, account)
        };
        for (at, alone) in in_order(all.len(), key) {
            let (((contract, account), sum), (_, delta)) = (sum_of(at), all[at]);
            row.row(7);
            row.boolean(contract.certain);
            row.hash(&contract.id);
            row.bytea(account.bytes());
            row.int4(contract.as_of);
            row.signed(delta);
            row.int4(sum.last_ledger);
            row.boolean(alone);
        }
    }
}

/// How many events each contract has emitted that are a token's if it is one; of what is certain there are none.
#[derive(Debug, Default)]
pub struct Emitted(Table<Contract, i64>);

impl Emitted {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts an event.
    pub fn add(&mut self, place: &Place) {
        *self.0.of(Contract::at(place), 0).1 += 1;
    }

    /// Writes a row a contract, as it is from one ledger on.
    pub fn write(&self, row: &mut Stream) {
        for (contract, events) in self.0.values() {
            row.row(3);
            row.hash(&contract.id);
            row.int4(contract.as_of);
            row.int8(*events);
        }
    }
}

/// The place of the event that wrote last.
#[derive(Debug, Clone, Copy)]
struct Written {
    ledger: i32,
    operation: i64,
    index: i32,
}

impl Written {
    fn at(place: &Place) -> Self {
        let Place { ledger, operation, index, .. } = *place;
        Written { ledger, operation, index }
    }

    fn write(&self, row: &mut Stream) {
        row.int4(self.ledger);
        row.int8(self.operation);
        row.int4(self.index);
    }
}

/// Allowances as they were last set.
#[derive(Debug, Default)]
pub struct Allowances(Table<(Contract, Address, Address), Allowance>);

#[derive(Debug, Clone, Copy)]
struct Allowance {
    written: Written,
    amount: i128,
    live_until: u32,
}

impl Allowances {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Sets an allowance.
    pub fn set(&mut self, place: &Place, owner: &Address, spender: &Address, amount: i128, live_until: u32) {
        let allowance = Allowance { written: Written::at(place), amount, live_until };
        self.0.set((Contract::at(place), *owner, *spender), allowance);
    }

    /// Writes a row a key.
    pub fn write(&self, row: &mut Stream) {
        let all = self.0.values();
        let key = |at: usize| {
            let ((contract, owner, spender), _) = &all[at];
            (&contract.id, owner, spender)
        };
        for (at, alone) in in_order(all.len(), key) {
            let ((contract, owner, spender), allowance) = &all[at];
            row.row(11);
            row.boolean(contract.certain);
            row.hash(&contract.id);
            row.bytea(owner.bytes());
            row.bytea(spender.bytes());
            row.int4(contract.as_of);
            row.signed(allowance.amount);
            row.int8(i64::from(allowance.live_until));
            allowance.written.write(row);
            row.boolean(alone);
        }
    }
}

/// The `SCVal` of a token's id, filled up with zeros; its type says how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Token {
    value: [u8; 36],
    length: u8,
}

impl Token {
    fn scval(&self) -> &[u8] {
        &self.value[..usize::from(self.length)]
    }

    /// Behind its type, which does not count: tokens with the same number are one row of the table.
    fn number(&self) -> [u8; 32] {
        let (mut number, digits) = ([0; 32], &self.scval()[4..]);
        number[32 - digits.len()..].copy_from_slice(digits);
        number
    }
}

/// Owners as they were last.
#[derive(Debug, Default)]
pub struct Owners(Table<(Contract, Token), (Written, Option<Address>)>);

impl Owners {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Gives a token to an owner, or to nobody.
    pub fn set(&mut self, place: &Place, token: &[u8], owner: Option<&Address>) {
        let mut value = [0; 36];
        value[..token.len()].copy_from_slice(token);
        let key = (Contract::at(place), Token { value, length: token.len() as u8 });
        self.0.set(key, (Written::at(place), owner.copied()));
    }

    /// Writes a row a token.
    pub fn write(&self, row: &mut Stream) {
        let all = self.0.values();
        let key = |at: usize| {
            let ((contract, token), _) = &all[at];
            (&contract.id, token.number())
        };
        for (at, alone) in in_order(all.len(), key) {
            let ((contract, token), (written, owner)) = &all[at];
            row.row(9);
            row.boolean(contract.certain);
            row.hash(&contract.id);
            row.bytea(token.scval());
            row.int4(contract.as_of);
            row.optional_bytea(owner.as_ref().map(Address::bytes));
            written.write(row);
            row.boolean(alone);
        }
    }
}

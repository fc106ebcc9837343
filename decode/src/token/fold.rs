//! What the events of a chunk come to: sums of balances, the last allowance, the last owner.
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
        for (at, delta) in all.chain(self.full.iter().copied()) {
            let ((contract, account), sum) = &self.sums.values()[at as usize];
            row.row(6);
            row.boolean(contract.certain);
            row.hash(&contract.id);
            row.bytea(account.bytes());
            row.int4(contract.as_of);
            row.signed(delta);
            row.int4(sum.last_ledger);
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
        for ((contract, owner, spender), allowance) in self.0.values() {
            row.row(10);
            row.boolean(contract.certain);
            row.hash(&contract.id);
            row.bytea(owner.bytes());
            row.bytea(spender.bytes());
            row.int4(contract.as_of);
            row.signed(allowance.amount);
            row.int8(i64::from(allowance.live_until));
            allowance.written.write(row);
        }
    }
}

/// The `SCVal` of a token's id, filled up with zeros; its type says how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Token {
    value: [u8; 36],
    length: u8,
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
        for ((contract, token), (written, owner)) in self.0.values() {
            row.row(8);
            row.boolean(contract.certain);
            row.hash(&contract.id);
            row.bytea(&token.value[..usize::from(token.length)]);
            row.int4(contract.as_of);
            row.optional_bytea(owner.as_ref().map(Address::bytes));
            written.write(row);
        }
    }
}

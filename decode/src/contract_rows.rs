//! The rows of the contracts of a chunk: each code once, and what each instance ran from which ledger on.
use crate::contract::{Code, Instance};
use crate::copy::Stream;
use crate::prove::Hash;
use crate::spec::contract_spec;
use std::collections::{HashMap, HashSet};

/// `contract_specs`: the specification of each code and the ledger that has it first, in this order.
#[derive(Debug, Default)]
pub struct Codes {
    seen: HashSet<Hash>,
    stream: Stream,
}

impl Codes {
    /// Forgets the chunk before.
    pub fn start(&mut self) {
        self.seen.clear();
        self.stream.start();
    }

    /// Adds a proven code from a change of a ledger, unless the chunk has it already.
    pub fn add(&mut self, ledger: i32, code: &Code) {
        if !self.seen.insert(*code.hash) {
            return;
        }
        self.stream.row(3);
        self.stream.hash(code.hash);
        match contract_spec(code.code) {
            Some(spec) => self.stream.bytea(&spec),
            None => self.stream.null(),
        }
        self.stream.int4(ledger);
    }

    /// Its rows.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

/// `contract_instances`: observations, as few as tell every change of an executable.
#[derive(Debug, Default)]
pub struct Instances {
    observations: Vec<Observation>,
    /// The last observation of each contract.
    last: HashMap<Hash, usize>,
    stream: Stream,
}

#[derive(Debug)]
struct Observation {
    contract: Hash,
    from_ledger: i32,
    wasm_hash: Option<Hash>,
    name: Option<Box<str>>,
}

impl Instances {
    /// Forgets the chunk before.
    pub fn start(&mut self) {
        self.observations.clear();
        self.last.clear();
        self.stream.start();
    }

    /// Adds an instance from a change of a ledger: what it was before (`is_state`), or what it is from there on.
    pub fn add(&mut self, ledger: i32, is_state: bool, instance: &Instance) {
        let last = self.last.get(instance.contract).copied();
        let known = last.map(|last| &mut self.observations[last]);
        let from_ledger = match &known {
            Some(known) if is_state || known.wasm_hash == instance.wasm_hash => return,
            _ if is_state => (ledger - 1).max(1),
            _ => ledger,
        };
        let name = instance.name().map(Box::from);
        let seen = Observation { contract: *instance.contract, from_ledger, wasm_hash: instance.wasm_hash, name };
        match known {
            Some(known) if known.from_ledger == from_ledger => *known = seen,
            _ => {
                self.last.insert(*instance.contract, self.observations.len());
                self.observations.push(seen);
            }
        }
    }

    /// From which ledger on a contract runs what it was last seen to run, where the chunk has seen it.
    pub fn since(&self, contract: &Hash) -> Option<i32> {
        self.last.get(contract).map(|last| self.observations[*last].from_ledger)
    }

    /// Its rows, from now on those of all that was added.
    pub fn stream(&mut self) -> &mut Stream {
        let row = &mut self.stream;
        for seen in self.observations.drain(..) {
            row.row(4);
            row.hash(&seen.contract);
            row.int4(seen.from_ledger);
            match seen.wasm_hash {
                Some(hash) => row.hash(&hash),
                None => row.null(),
            }
            match seen.name {
                Some(name) => row.bytea(name.as_bytes()),
                None => row.null(),
            }
        }
        &mut self.stream
    }
}

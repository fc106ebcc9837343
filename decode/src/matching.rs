//! Which envelope belongs to which result: by hash, each exactly once.
use crate::fault::{Checked, Fault, hex};
use crate::ledger::{Ledger, hash_at};
use crate::prove::Hash;

/// Pairs envelopes with results; keeps its memory from ledger to ledger.
#[derive(Debug, Default)]
pub struct Matching {
    /// Hash of each envelope, in the order of the transaction set.
    hashes: Vec<Hash>,
    /// Open addressing, twice as many slots as envelopes: envelope + 1, or 0 where free.
    slots: Vec<u32>,
    /// Whether an envelope has its result.
    taken: Vec<bool>,
    /// For each result in apply order its envelope.
    envelopes: Vec<u32>,
}

impl Matching {
    /// Forgets the ledger before and makes room for `count` envelopes.
    pub fn start(&mut self, count: usize) {
        self.hashes.clear();
        self.envelopes.clear();
        self.slots.clear();
        self.slots.resize((2 * count).next_power_of_two(), 0);
        self.taken.clear();
        self.taken.resize(count, false);
    }

    /// Adds an envelope; `at` is where it stands.
    pub fn add(&mut self, hash: Hash, at: u32) -> Checked {
        let slot = self.slot(&hash);
        if self.slots[slot] != 0 {
            let twice = format!("transaction {} twice in its set", hex(&hash));
            return Err(Fault::new(at as usize, "each transaction once", twice));
        }
        self.hashes.push(hash);
        self.slots[slot] = self.hashes.len() as u32;
        Ok(())
    }

    /// The slot that holds `hash`, or the free one where it belongs.
    fn slot(&self, hash: &Hash) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = u64::from_le_bytes(*hash.first_chunk().expect("32 bytes")) as usize & mask;
        while self.slots[slot] != 0 && self.hashes[self.slots[slot] as usize - 1] != *hash {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn find(&self, hash: &Hash) -> Option<u32> {
        self.slots[self.slot(hash)].checked_sub(1)
    }

    /// Gives each result of the ledger its envelope; one left over on either side is a fault.
    pub fn settle(&mut self, raw: &[u8], ledger: &Ledger) -> Checked {
        for applied in &ledger.applied {
            let hash = hash_at(raw, applied.result.start);
            match self.find(hash) {
                Some(envelope) if !std::mem::replace(&mut self.taken[envelope as usize], true) => {
                    self.envelopes.push(envelope);
                }
                Some(_) => {
                    let twice = format!("a second result of transaction {}", hex(hash));
                    return Err(Fault::new(applied.result.start as usize, "one result a transaction", twice));
                }
                None => return Err(self.stranger(raw, ledger, applied.result.start)),
            }
        }
        match self.taken.iter().position(|taken| !taken) {
            Some(i) => {
                let at = ledger.envelopes[i].tx.start as usize;
                Err(Fault::new(at, "a result for each transaction", format!("none for {}", hex(&self.hashes[i]))))
            }
            None => Ok(()),
        }
    }

    /// A result without an envelope: when no result has one, the passphrase is another network's.
    #[cold]
    fn stranger(&self, raw: &[u8], ledger: &Ledger, at: u32) -> Box<Fault> {
        let known = |start| self.find(hash_at(raw, start)).is_some();
        let matching = ledger.applied.iter().filter(|applied| known(applied.result.start)).count();
        let (all, hash) = (ledger.applied.len(), hex(hash_at(raw, at)));
        let found = match matching {
            0 => format!("none of {all} transaction hashes holds: the passphrase of another network?"),
            _ => format!("{matching} of {all} transaction hashes hold, not {hash}"),
        };
        Fault::new(at as usize, "transaction hashes under the network passphrase", found)
    }

    /// The envelope of each result, in apply order.
    pub fn envelopes(&self) -> &[u32] {
        &self.envelopes
    }
}

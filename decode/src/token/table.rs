//! A table from keys to values, for folds: quick, in order of first appearance, and safe from chosen keys.
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Makes hashers with a secret of their own, so that nobody can choose keys that meet.
#[derive(Debug, Clone)]
pub struct Secret {
    start: u64,
    factor: u64,
}

impl Default for Secret {
    fn default() -> Self {
        let random = RandomState::new();
        Secret { start: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for Secret {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.start, factor: self.factor }
    }
}

/// Multiplies word by word and folds the upper half into the lower: a third of what the standard hasher takes.
#[derive(Debug)]
pub struct Folding {
    state: u64,
    factor: u64,
}

impl Folding {
    #[inline(always)]
    fn word(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for Folding {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(word));
        }
    }

    #[inline(always)]
    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }

    #[inline(always)]
    fn write_i32(&mut self, value: i32) {
        self.word(value as u64);
    }

    #[inline(always)]
    fn write_u8(&mut self, value: u8) {
        self.word(value.into());
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

/// Values by key, in order of first appearance; keeps its memory when it is cleared.
#[derive(Debug)]
pub struct Table<K, V> {
    secret: Secret,
    /// Open addressing, at least twice as many slots as values: place + 1, or 0 where free.
    slots: Vec<u32>,
    values: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { secret: Secret::default(), slots: Vec::new(), values: Vec::new() }
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.values.clear();
    }

    /// All keys with their values, by place.
    pub fn values(&self) -> &[(K, V)] {
        &self.values
    }

    /// The value of a key, `new` where there is none yet, and its place.
    pub fn of(&mut self, key: K, new: V) -> (u32, &mut V) {
        if self.slots.len() <= 2 * self.values.len() {
            self.grow();
        }
        let slot = self.slot(&key);
        if self.slots[slot] == 0 {
            self.values.push((key, new));
            self.slots[slot] = self.values.len() as u32;
        }
        let place = self.slots[slot] - 1;
        (place, &mut self.values[place as usize].1)
    }

    /// Gives a key its value, whatever it had.
    pub fn set(&mut self, key: K, value: V)
    where
        V: Copy,
    {
        *self.of(key, value).1 = value;
    }

    /// The slot that holds `key`, or the free one where it belongs.
    fn slot(&self, key: &K) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.secret.hash_one(key) as usize & mask;
        while self.slots[slot] != 0 && self.values[self.slots[slot] as usize - 1].0 != *key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    #[cold]
    fn grow(&mut self) {
        let slots = (2 * self.slots.len()).max(1 << 10);
        self.slots.clear();
        self.slots.resize(slots, 0);
        for place in 0..self.values.len() {
            let slot = self.slot(&self.values[place].0);
            self.slots[slot] = place as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn keys_keep_their_values_and_their_order_over_growth_and_chunks() {
        let mut table = Table::default();
        for round in 0..3 {
            for key in (0..5_000).chain(0..5_000) {
                // long keys with little that differs
                let (place, value) = table.of(([7_u8; 34], key), 0);
                assert_eq!(place, key as u32);
                *value += key + round;
            }
            table.set(([7; 34], 4_321), -1);
            assert_eq!(table.values().len(), 5_000);
            for (place, ((_, key), value)) in (0..).zip(table.values()) {
                assert_eq!(*key, place);
                assert_eq!(*value, if place == 4_321 { -1 } else { 2 * (place + round) });
            }
            table.clear();
            assert!(table.values().is_empty());
        }
    }
}

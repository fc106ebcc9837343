//! Random numbers that are the same on every machine and in every version: a seed is a promise.

/// A counter, scrambled: cheap to start anywhere, so every ledger and every account has a stream of its own.
#[derive(Clone, Debug)]
pub struct Random(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Random {
    /// The stream of one thing: same `path`, same numbers.
    pub fn of(path: &[u64]) -> Self {
        Self(path.iter().fold(0, |state, part| scramble(state.wrapping_add(STEP) ^ scramble(part.wrapping_add(STEP)))))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scramble(self.0)
    }

    /// A number from 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `low` up to, not including, `high`.
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low) as u64) as i64
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for part in out.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
        out
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// An amount whose digits look like those of real ones: most are round.
    pub fn amount(&mut self) -> i64 {
        let whole = self.within(1, 10_000);
        match self.below(4) {
            0 => whole * 10_000_000,
            1 => whole * 1_000_000,
            2 => whole * 1_000 + self.within(0, 1_000),
            _ => self.within(1, 1 << 40),
        }
    }
}

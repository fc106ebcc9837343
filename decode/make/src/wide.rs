//! Whole numbers wider than any of the language: sums of i128 extremes, and ids of 256 bits.
use std::fmt;

/// 256 bits in two's complement, the lowest 64 first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wide([u64; 4]);

impl Wide {
    pub fn signed(value: i128) -> Self {
        let rest = if value < 0 { u64::MAX } else { 0 };
        Self([value as u64, (value >> 64) as u64, rest, rest])
    }

    /// What is added may wrap after 2^127 amounts, which no lake holds.
    pub fn plus(self, other: Self) -> Self {
        let mut carry = 0;
        let sum = std::array::from_fn(|i| {
            let sum = u128::from(self.0[i]) + u128::from(other.0[i]) + carry;
            carry = sum >> 64;
            sum as u64
        });
        Self(sum)
    }

    fn negated(self) -> Self {
        Self(self.0.map(|part| !part)).plus(Self::signed(1))
    }

    /// The digits of the 256 bits as a number without a sign.
    pub fn unsigned(mut self) -> String {
        const BASE: u128 = 10_000_000_000;
        let mut parts = Vec::new();
        loop {
            let mut rest = 0;
            for part in self.0.iter_mut().rev() {
                let value = rest << 64 | u128::from(*part);
                *part = (value / BASE) as u64;
                rest = value % BASE;
            }
            parts.push(rest);
            if self == Self::default() {
                break;
            }
        }
        let first = parts.pop().expect("one part at least").to_string();
        parts.iter().rev().fold(first, |text, part| format!("{text}{part:010}"))
    }
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.0[3] as i64) < 0 {
            return write!(f, "-{}", self.negated().unsigned());
        }
        f.write_str(&self.unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_go_beyond_an_i128_on_both_sides() {
        let twice = |value: i128| Wide::signed(value).plus(Wide::signed(value)).to_string();
        assert_eq!(twice(i128::MAX), "340282366920938463463374607431768211454");
        assert_eq!(twice(i128::MIN), "-340282366920938463463374607431768211456");
        assert_eq!(Wide::signed(i128::MIN).plus(Wide::signed(i128::MAX)).to_string(), "-1");
        assert_eq!([0, 10_000_000_000, -7].map(|n| Wide::signed(n).to_string()), ["0", "10000000000", "-7"]);
    }

    #[test]
    fn the_largest_id_is_written_whole() {
        let largest = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        assert_eq!(Wide::signed(-1).unsigned(), largest);
    }
}

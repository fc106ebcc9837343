//! Integers of up to 256 bits, as `SCVal`s and Arrow's decimals hold them.
use crate::copy::Stream;

/// Two's complement, the lowest byte first: as in a decimal of 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Integer {
    bytes: [u8; 32],
    /// At 2^255 and above, where two's complement has no room for a sign.
    huge: bool,
}

impl Integer {
    /// What a decimal without places behind the point holds.
    pub fn of_decimal(bytes: &[u8; 32]) -> Self {
        Integer { bytes: *bytes, huge: false }
    }

    /// The integer in an `SCVal`, if it is nothing but one.
    pub fn of_value(value: &[u8]) -> Option<Self> {
        let (length, signed) = match value.first_chunk().map(|kind| u32::from_be_bytes(*kind))? {
            3 => (4, false),
            4 => (4, true),
            5 => (8, false),
            6 => (8, true),
            9 => (16, false),
            10 => (16, true),
            11 => (32, false),
            12 => (32, true),
            _ => return None,
        };
        let digits = &value[4..];
        if digits.len() != length {
            return None;
        }
        let top = digits[0] >= 0x80;
        let mut bytes = [if signed && top { 0xff } else { 0 }; 32];
        bytes.iter_mut().zip(digits.iter().rev()).for_each(|(byte, digit)| *byte = *digit);
        Some(Integer { bytes, huge: top && !signed && length == 32 })
    }

    /// What a decimal holds of it; only below 2^255.
    pub fn decimal(self) -> [u8; 32] {
        self.bytes
    }

    /// The same within 128 bits.
    pub fn narrow(&self) -> Option<i128> {
        let low = i128::from_le_bytes(*self.bytes.first_chunk().expect("32 bytes"));
        let high = if low < 0 { 0xff } else { 0 };
        (!self.huge && self.bytes[16..].iter().all(|byte| *byte == high)).then_some(low)
    }

    /// Writes it as a `numeric`.
    pub fn write(&self, row: &mut Stream) {
        if let Some(narrow) = self.narrow() {
            return row.signed(narrow);
        }
        let negative = !self.huge && self.bytes[31] >= 0x80;
        let mut carry = negative;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"));
            if negative {
                (*word, carry) = (!*word).overflowing_add(u64::from(carry));
            }
        }
        row.wide(negative, words);
    }
}

#[cfg(test)]
mod tests {
    use super::Integer;

    fn value(kind: u32, digits: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes(), digits].concat()
    }

    #[test]
    fn integers_of_every_type_are_what_their_bytes_say() {
        for (unsigned, bytes) in [(3, 4), (5, 8), (9, 16), (11, 32)] {
            let one = [&vec![0; bytes - 1][..], &[1]].concat();
            let most = vec![0xff; bytes];
            for kind in [unsigned, unsigned + 1] {
                assert_eq!(Integer::of_value(&value(kind, &one)).unwrap().narrow(), Some(1));
            }
            assert_eq!(Integer::of_value(&value(unsigned + 1, &most)).unwrap().narrow(), Some(-1));
            let greatest = Integer::of_value(&value(unsigned, &most)).unwrap().narrow();
            assert_eq!(greatest, 1_i128.checked_shl(8 * bytes as u32).filter(|_| bytes < 16).map(|past| past - 1));
        }
    }

    #[test]
    fn nothing_else_is_an_integer() {
        for bad in [&value(1, &[]), &value(3, &[0; 8]), &value(5, &[0; 4]), &value(7, &[0; 8]), &vec![0, 0], &vec![]] {
            assert_eq!(Integer::of_value(bad), None, "{bad:?}");
        }
    }
}

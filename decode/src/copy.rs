//! PostgreSQL's binary COPY format: a header, rows of counted fields, a trailer.

/// Signature, flags and the length of an empty header extension.
pub const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field count of -1 ends the stream.
/// The end of a stream.
pub const TRAILER: [u8; 2] = [0xff, 0xff];
const NULL: [u8; 4] = [0xff; 4];
/// A `numeric` counts in digits of base 10,000.
const NUMERIC_BASE: u64 = 10_000;
const FOUR_DIGITS: u128 = (NUMERIC_BASE as u128).pow(4);
/// The sign of a `numeric` below zero.
const NUMERIC_NEGATIVE: u16 = 0x4000;

/// One COPY stream in memory.
#[derive(Debug, Default)]
pub struct Stream {
    bytes: Vec<u8>,
    rows: u64,
}

impl Stream {
    /// Empties the stream and keeps its memory.
    pub fn start(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(HEADER);
        self.rows = 0;
    }

    /// Ends the stream.
    pub fn end(&mut self) {
        self.bytes.extend_from_slice(&TRAILER);
    }

    /// The whole stream.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Begins a row of `fields` fields.
    #[inline(always)]
    pub fn row(&mut self, fields: u16) {
        self.rows += 1;
        self.bytes.extend_from_slice(&fields.to_be_bytes());
    }

    /// NULL.
    #[inline(always)]
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(&NULL);
    }

    #[inline(always)]
    fn fixed<const N: usize, const M: usize>(&mut self, value: [u8; N]) {
        let mut field = [0; M];
        field[3] = N as u8;
        field[4..].copy_from_slice(&value);
        self.bytes.extend_from_slice(&field);
    }

    /// `bool`.
    #[inline(always)]
    pub fn boolean(&mut self, value: bool) {
        self.fixed::<1, 5>([u8::from(value)]);
    }

    /// `int2`.
    #[inline(always)]
    pub fn int2(&mut self, value: i16) {
        self.fixed::<2, 6>(value.to_be_bytes());
    }

    /// `int4`.
    #[inline(always)]
    pub fn int4(&mut self, value: i32) {
        self.fixed::<4, 8>(value.to_be_bytes());
    }

    /// `int8`, also `timestamptz`.
    #[inline(always)]
    pub fn int8(&mut self, value: i64) {
        self.fixed::<8, 12>(value.to_be_bytes());
    }

    /// `bytea`.
    #[inline(always)]
    pub fn bytea(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// `bytea` of 32 bytes.
    #[inline(always)]
    pub fn hash(&mut self, value: &[u8; 32]) {
        self.fixed::<32, 36>(*value);
    }

    /// `bytea` of 33 bytes: the version byte of a strkey, then 32 bytes.
    #[inline(always)]
    pub fn address(&mut self, version: u8, key: &[u8; 32]) {
        let mut field = [0; 37];
        field[3] = 33;
        field[4] = version;
        field[5..].copy_from_slice(key);
        self.bytes.extend_from_slice(&field);
    }

    /// `bytea` that may be NULL.
    #[inline(always)]
    pub fn optional_bytea(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bytea(value),
            None => self.null(),
        }
    }

    /// `numeric` of an unsigned integer.
    pub fn numeric(&mut self, value: u64) {
        self.signed(value.into());
    }

    /// `numeric` of an integer, without zero digits at either end, as PostgreSQL itself sends it.
    pub fn signed(&mut self, value: i128) {
        let mut digits = [0_u16; 10];
        let mut count = 0;
        let mut push = |digit| {
            digits[count] = digit as u16;
            count += 1;
        };
        let mut rest = value.unsigned_abs();
        while rest > u128::from(u64::MAX) {
            // four digits at once: dividing 128 bits is slow
            let low = (rest % FOUR_DIGITS) as u64;
            rest /= FOUR_DIGITS;
            (0..4).for_each(|i| push(low / NUMERIC_BASE.pow(i) % NUMERIC_BASE));
        }
        let mut rest = rest as u64;
        while rest > 0 {
            push(rest % NUMERIC_BASE);
            rest /= NUMERIC_BASE;
        }
        self.digits(value < 0, &digits[..count]);
    }

    /// `numeric` of an integer of 256 bits: its sign and its magnitude, the lowest word first.
    pub fn wide(&mut self, negative: bool, mut magnitude: [u64; 4]) {
        let mut digits = [0_u16; 20];
        let mut count = 0;
        while magnitude != [0; 4] {
            let mut rest = 0;
            for word in magnitude.iter_mut().rev() {
                let high = u128::from(rest) << 64 | u128::from(*word);
                *word = (high / u128::from(NUMERIC_BASE)) as u64;
                rest = (high % u128::from(NUMERIC_BASE)) as u64;
            }
            digits[count] = rest as u16;
            count += 1;
        }
        self.digits(negative, &digits[..count]);
    }

    /// `numeric` of digits of base 10,000, the lowest first and the highest none that is zero.
    fn digits(&mut self, negative: bool, digits: &[u16]) {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let kept = &digits[zeros..];
        let (weight, sign) = (digits.len().saturating_sub(1) as u16, if negative { NUMERIC_NEGATIVE } else { 0 });
        self.bytes.extend_from_slice(&(8 + 2 * kept.len() as u32).to_be_bytes());
        for half in [kept.len() as u16, weight, sign, 0].iter().chain(kept.iter().rev()) {
            self.bytes.extend_from_slice(&half.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Stream};

    /// The bytes of one row that `fill` makes.
    fn row(fill: impl Fn(&mut Stream)) -> Vec<u8> {
        let mut stream = Stream::default();
        stream.start();
        stream.row(1);
        fill(&mut stream);
        stream.end();
        assert_eq!(stream.rows(), 1);
        let bytes = stream.bytes().strip_prefix(HEADER).expect("a header");
        bytes.strip_suffix(&[0xff, 0xff]).expect("a trailer")[2..].to_vec()
    }

    #[test]
    fn fields_are_those_of_the_binary_format() {
        assert_eq!(row(Stream::null), [0xff; 4]);
        assert_eq!(row(|stream| stream.boolean(true)), [0, 0, 0, 1, 1]);
        assert_eq!(row(|stream| stream.int2(-2)), [0, 0, 0, 2, 0xff, 0xfe]);
        assert_eq!(row(|stream| stream.int4(258)), [0, 0, 0, 4, 0, 0, 1, 2]);
        assert_eq!(row(|stream| stream.int8(-1)), [&[0, 0, 0, 8][..], &[0xff; 8]].concat());
        assert_eq!(row(|stream| stream.bytea(b"ab")), [0, 0, 0, 2, b'a', b'b']);
        assert_eq!(row(|stream| stream.hash(&[7; 32])), [&[0, 0, 0, 32][..], &[7; 32]].concat());
        assert_eq!(row(|stream| stream.address(48, &[7; 32])), [&[0, 0, 0, 33, 48][..], &[7; 32]].concat());
    }

    #[test]
    fn numerics_are_written_as_postgresql_itself_writes_them() {
        let cases: [(u64, u16, &[u16]); 7] = [
            (0, 0, &[]),
            (1, 0, &[1]),
            (9_999, 0, &[9_999]),
            (10_000, 1, &[1]),
            (100_000_000, 2, &[1]),
            (1_0000_0500_0000, 3, &[1, 0, 500]),
            (u64::MAX, 4, &[1844, 6744, 737, 955, 1615]),
        ];
        for (value, weight, digits) in cases {
            let halves = [&[digits.len() as u16, weight, 0, 0], digits].concat();
            let body: Vec<u8> = halves.iter().flat_map(|half| half.to_be_bytes()).collect();
            let length = (body.len() as u32).to_be_bytes().to_vec();
            assert_eq!(row(|stream| stream.numeric(value)), [length, body].concat(), "{value}");
        }
    }

    #[test]
    fn signed_numerics_hold_both_extremes() {
        let largest: &[u16] = &[170, 1411, 8346, 469, 2317, 3168, 7303, 7158, 8410];
        let cases: [(i128, u16, u16, &[u16]); 6] = [
            (-1, 0, 0x4000, &[1]),
            (-10_000, 1, 0x4000, &[1]),
            (i128::from(u64::MAX) + 1, 4, 0, &[1844, 6744, 737, 955, 1616]),
            (-100_000_000_000_000_000_000_000_000_000, 7, 0x4000, &[10]),
            (i128::MAX, 9, 0, &[largest, &[5727]].concat()),
            (i128::MIN, 9, 0x4000, &[largest, &[5728]].concat()),
        ];
        for (value, weight, sign, digits) in cases {
            let halves = [&[digits.len() as u16, weight, sign, 0], digits].concat();
            let body: Vec<u8> = halves.iter().flat_map(|half| half.to_be_bytes()).collect();
            let length = (body.len() as u32).to_be_bytes().to_vec();
            assert_eq!(row(|stream| stream.signed(value)), [length.clone(), body.clone()].concat(), "{value}");
            let magnitude = value.unsigned_abs();
            let words = [magnitude as u64, (magnitude >> 64) as u64, 0, 0];
            assert_eq!(row(|stream| stream.wide(value < 0, words)), [length, body].concat(), "{value}");
        }
    }

    #[test]
    fn wide_numerics_hold_the_greatest_of_256_bits() {
        let digits = [
            11, 5792, 892, 3731, 6195, 4235, 7098, 5008, 6879, 785, 3269, 9846, 6564, 564, 394, 5758, 4007, 9131, 2963,
            9935,
        ];
        let halves = [&[20, 19, 0, 0], &digits[..]].concat();
        let body: Vec<u8> = halves.iter().flat_map(|half: &u16| half.to_be_bytes()).collect();
        assert_eq!(row(|stream| stream.wide(false, [u64::MAX; 4])), [&[0, 0, 0, 48][..], &body].concat());
    }
}

//! Columns in the layout of Arrow: raw buffers, of which pyarrow makes arrays without looking at them.

/// Values of any length: where each begins and ends, and all of them one after another.
#[derive(Debug, Clone)]
pub struct Binary {
    /// One more `int32` than there are values.
    pub offsets: Vec<u8>,
    /// The values.
    pub content: Vec<u8>,
}

impl Default for Binary {
    fn default() -> Self {
        Binary { offsets: 0_i32.to_ne_bytes().to_vec(), content: Vec::new() }
    }
}

impl Binary {
    /// Adds a value.
    pub fn push(&mut self, value: &[u8]) {
        self.content.extend_from_slice(value);
        push_offset(&mut self.offsets, self.content.len());
    }
}

/// Adds an offset. Arrow counts in 31 bits here; who fills a column ends it long before.
pub fn push_offset(offsets: &mut Vec<u8>, at: usize) {
    offsets.extend_from_slice(&i32::try_from(at).expect("a column is ended before").to_ne_bytes());
}

/// A bit a value, the lowest of a byte first.
#[derive(Debug, Clone, Default)]
pub struct Bits {
    /// The bytes.
    pub bytes: Vec<u8>,
    length: usize,
}

impl Bits {
    /// Adds a bit.
    pub fn push(&mut self, bit: bool) {
        if self.length.is_multiple_of(8) {
            self.bytes.push(0);
        }
        self.bytes[self.length / 8] |= u8::from(bit) << (self.length % 8);
        self.length += 1;
    }
}

/// A column that somebody else has made: rows `offset..offset + length` of its buffers, which hold that many.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    /// Rows.
    pub length: usize,
    /// Rows before them in the buffers.
    pub offset: usize,
    /// A bit a row: whether it has a value; None where all have one.
    pub validity: Option<&'a [u8]>,
    /// Values of a fixed length, or where each begins and ends.
    pub values: &'a [u8],
    /// Values of any length.
    pub content: &'a [u8],
}

impl<'a> Column<'a> {
    /// Whether a row has a value.
    pub fn has(&self, row: usize) -> bool {
        self.validity.is_none_or(|bits| self.bit(bits, row))
    }

    /// The bit of a row in a column of booleans.
    pub fn boolean(&self, row: usize) -> bool {
        self.bit(self.values, row)
    }

    fn bit(&self, bits: &[u8], row: usize) -> bool {
        let at = self.offset + row;
        bits[at / 8] >> (at % 8) & 1 == 1
    }

    /// The value of a row in a column of `N` bytes a row.
    pub fn fixed<const N: usize>(&self, row: usize) -> &'a [u8; N] {
        self.values[(self.offset + row) * N..].first_chunk().expect("as many as there are rows")
    }

    /// The value of a row in a column of values of any length.
    pub fn bytes(&self, row: usize) -> &'a [u8] {
        let at = |row: usize| i32::from_ne_bytes(*self.fixed_at(row)) as usize;
        &self.content[at(row)..at(row + 1)]
    }

    fn fixed_at(&self, row: usize) -> &'a [u8; 4] {
        self.fixed::<4>(row)
    }

    /// The same, where the row has a value.
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        self.has(row).then(|| self.bytes(row))
    }
}

//! The lake on disk: which object holds which ledgers, its key (SEP-54), and the manifest.
use std::ops::RangeInclusive;

use crate::error::MakeError;

/// The store keeps sequences in 31 bits.
const LAST_LEDGER: u64 = i32::MAX as u64;

/// Which ledgers an object and a partition hold; both limits count ledgers and objects.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub first: u32,
    pub last: u32,
    ledgers_per_object: u32,
    objects_per_partition: u32,
}

impl Layout {
    /// A lake that holds at least `ledgers` from `first` on.
    ///
    /// Objects are whole, as Galexie writes them: the ends move outwards to the borders of their objects.
    /// Only the very first object, whose ledgers 0 and 1 nobody exports, starts at 2.
    pub fn new(first: u32, ledgers: u32, per_object: u32, per_partition: u32) -> Result<Self, MakeError> {
        if first < 2 {
            return Err(MakeError::argument(format!("a lake starts at ledger 2 or later, not at {first}")));
        }
        if ledgers == 0 || per_object == 0 || per_partition == 0 {
            return Err(MakeError::argument("ledgers, ledgers an object and objects a partition are at least 1"));
        }
        let (step, wanted) = (u64::from(per_object), u64::from(first) + u64::from(ledgers) - 1);
        let last = wanted - wanted % step + step - 1;
        if last > LAST_LEDGER || step * u64::from(per_partition) > LAST_LEDGER {
            return Err(MakeError::argument(format!(
                "{ledgers} ledgers from {first}, {per_object} an object and {per_partition} objects a partition, \
                 go beyond ledger {LAST_LEDGER}"
            )));
        }
        let first = (first - first % per_object).max(2);
        Ok(Self { first, last: last as u32, ledgers_per_object: per_object, objects_per_partition: per_partition })
    }

    pub fn objects(&self) -> usize {
        (self.last / self.ledgers_per_object - self.first / self.ledgers_per_object) as usize + 1
    }

    /// The ledgers that the object of number `object` holds.
    pub fn ledgers_of(&self, object: usize) -> RangeInclusive<u32> {
        let step = self.ledgers_per_object;
        let start = (self.first / step + object as u32) * step;
        start.max(self.first)..=start + (step - 1)
    }

    /// The key of the object that holds `ledger`, relative to the lake's root.
    pub fn key(&self, ledger: u32) -> String {
        let object = name(ledger, self.ledgers_per_object);
        if self.objects_per_partition == 1 {
            return format!("{object}.xdr.zst");
        }
        let partition = name(ledger, self.ledgers_per_object * self.objects_per_partition);
        format!("{partition}/{object}.xdr.zst")
    }

    pub fn manifest(&self, passphrase: &str) -> String {
        format!(
            "{{\n  \"networkPassphrase\": {},\n  \"version\": \"1.0\",\n  \"compression\": \"zstd\",\n  \
             \"ledgersPerBatch\": {},\n  \"batchesPerPartition\": {}\n}}\n",
            json_text(passphrase),
            self.ledgers_per_object,
            self.objects_per_partition
        )
    }
}

/// `HEX--start[-end]` of the span of `step` ledgers around `ledger`; the newest sorts first.
fn name(ledger: u32, step: u32) -> String {
    let start = ledger - ledger % step;
    let prefix = format!("{:08X}--{start}", u32::MAX - start);
    if step == 1 { prefix } else { format!("{prefix}-{}", start + (step - 1)) }
}

pub fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

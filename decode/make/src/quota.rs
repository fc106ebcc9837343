//! How many of each thing a ledger gets: ledgers differ as real ones do, and every eight in a row give the exact mean.

/// Size of a ledger relative to the mean, in 64ths; together 512.
const CYCLE: [u64; 8] = [64, 50, 73, 58, 80, 61, 70, 56];
const UNIT: u64 = 64;

/// Sizes of all ledgers before `index`, in 64ths of a mean ledger.
fn before(index: u64) -> u64 {
    let sum: u64 = CYCLE.iter().sum();
    index / 8 * sum + CYCLE[..(index % 8) as usize].iter().sum::<u64>()
}

/// Numbers of the things that ledger `index` gets, of which a mean ledger gets `rate` hundredths.
///
/// The numbers count on from ledger to ledger, so a pattern over them keeps its mean as well.
pub fn numbers(rate: u64, index: u64) -> std::ops::Range<u64> {
    let upto = |index| (u128::from(rate) * u128::from(before(index)) / u128::from(100 * UNIT)) as u64;
    upto(index)..upto(index + 1)
}

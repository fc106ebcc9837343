//! What entries look like before a ledger first touches them: the same for every thread, from the seed alone.
use stellar_xdr::{
    AccountEntry, AccountEntryExt, AccountEntryExtensionV1, AccountEntryExtensionV1Ext, AccountEntryExtensionV2,
    AccountEntryExtensionV2Ext, AccountEntryExtensionV3, ContractDataDurability, ContractDataEntry, ExtensionPoint,
    LedgerEntry, LedgerEntryData, LedgerEntryExt, Liabilities, LiquidityPoolEntry, LiquidityPoolEntryBody,
    LiquidityPoolEntryConstantProduct, OfferEntry, OfferEntryExt, Price, ScAddress, ScVal, SequenceNumber, Signer,
    SignerKey, SponsorshipDescriptor, Thresholds, TimePoint, TrustLineEntry, TrustLineEntryExt, TrustLineEntryV1,
    TrustLineEntryV1Ext, Uint256,
};

use crate::pubnet::state::Key;
use crate::random::Random;
use crate::world::{Stream, Who, World};
use crate::xdr::{account_address, i128_value, list, map, symbol, vec};

/// Seconds from one ledger to the next are a little under 6: in quarters.
const QUARTERS: u64 = 23;
/// 2026-01-01, when ledger 0 would have closed.
const START: u64 = 1_767_225_600;
const DOMAINS: [&str; 4] = ["", "", "", "wallet.example"];

pub fn close_time(sequence: u32) -> u64 {
    START + u64::from(sequence) * QUARTERS / 4
}

/// The entry as the ledger before `sequence` left it.
pub fn entry(world: &World, key: Key, sequence: u32) -> LedgerEntry {
    let [kind, one, two] = key.numbers();
    let mut random = world.random(Stream::Entry, &[kind, one, two, u64::from(sequence)]);
    let age = if random.chance(60) { random.below(200) } else { random.below(40_000) } + 1;
    let last_modified_ledger_seq = sequence.saturating_sub(age as u32).max(1);
    let data = match key {
        Key::Account(who) => LedgerEntryData::Account(account(world, who, last_modified_ledger_seq, &mut random)),
        Key::Line(who, coin) => LedgerEntryData::Trustline(trust_line(world, who, coin, &mut random)),
        Key::Offer(who, slot) => LedgerEntryData::Offer(offer(world, who, slot, sequence, &mut random)),
        Key::Pool(pool) => LedgerEntryData::LiquidityPool(liquidity_pool(world, pool, &mut random)),
        Key::Balance(contract, who) => LedgerEntryData::ContractData(balance(world, contract, who, &mut random)),
    };
    LedgerEntry { last_modified_ledger_seq, data, ext: LedgerEntryExt::V0 }
}

fn account(world: &World, who: Who, modified: u32, random: &mut Random) -> AccountEntry {
    // What seldom changes follows from the account alone.
    let mut traits = world.random(Stream::Traits, &[u64::from(who)]);
    let signer = |traits: &mut Random| Signer { key: SignerKey::Ed25519(Uint256(traits.bytes())), weight: 1 };
    let signers = [0, 0, 1, 1][traits.below(4) as usize];
    let signers: Vec<Signer> = (0..signers).map(|_| signer(&mut traits)).collect();
    let created = traits.below(1 << 20) + 1;
    let v3 = AccountEntryExtensionV3 {
        ext: ExtensionPoint::V0,
        seq_ledger: modified,
        seq_time: TimePoint(close_time(modified)),
    };
    let sponsoring = traits.below(3) as u32;
    let v2 = AccountEntryExtensionV2 {
        num_sponsored: 0,
        num_sponsoring: sponsoring,
        signer_sponsoring_i_ds: list(vec![SponsorshipDescriptor(None); signers.len()]),
        ext: AccountEntryExtensionV2Ext::V3(v3),
    };
    let v1 = AccountEntryExtensionV1 {
        liabilities: Liabilities { buying: 0, selling: 0 },
        ext: AccountEntryExtensionV1Ext::V2(v2),
    };
    AccountEntry {
        account_id: world.account(who),
        balance: 100_000_000 + random.amount(),
        seq_num: SequenceNumber((created << 32) as i64 + i64::from(modified)),
        num_sub_entries: signers.len() as u32 + traits.below(30) as u32,
        inflation_dest: None,
        flags: 0,
        home_domain: stellar_xdr::String32(DOMAINS[traits.below(4) as usize].try_into().expect("a short domain")),
        thresholds: Thresholds([1, signers.len() as u8, signers.len() as u8, signers.len() as u8]),
        signers: list(signers),
        ext: AccountEntryExt::V1(v1),
    }
}

fn trust_line(world: &World, who: Who, coin: usize, random: &mut Random) -> TrustLineEntry {
    let v1 = TrustLineEntryV1 {
        liabilities: Liabilities { buying: random.amount(), selling: random.amount() },
        ext: TrustLineEntryV1Ext::V0,
    };
    let trades = !who.is_multiple_of(4);
    TrustLineEntry {
        account_id: world.account(who),
        asset: world.coins[coin].line.clone(),
        balance: random.amount(),
        limit: i64::MAX,
        flags: 1,
        ext: if trades { TrustLineEntryExt::V1(v1) } else { TrustLineEntryExt::V0 },
    }
}

fn offer(world: &World, who: Who, slot: u32, sequence: u32, random: &mut Random) -> OfferEntry {
    let (selling, buying) = market(world, who, slot);
    OfferEntry {
        seller_id: world.account(who),
        // Made by an earlier ledger: below every number that this ledger gives out.
        offer_id: i64::from(sequence) * 1000 - 1 - i64::from(who % 64) * 15 - i64::from(slot),
        selling: world.coins[selling].asset.clone(),
        buying: world.coins[buying].asset.clone(),
        amount: random.amount(),
        price: price(random),
        flags: 0,
        ext: OfferEntryExt::V0,
    }
}

/// The two assets that a maker trades in one of its offers: a few markets each, the native asset on one side of most.
pub fn market(world: &World, who: Who, slot: u32) -> (usize, usize) {
    let mut traits = world.random(Stream::Traits, &[u64::from(who), u64::from(slot / 4) + 1]);
    let others = world.coins.len() as u64 - 1;
    let one = 1 + traits.below(others) as usize;
    let two = if traits.chance(35) { 0 } else { 1 + (one + traits.below(others - 1) as usize) % others as usize };
    if slot.is_multiple_of(2) { (one, two) } else { (two, one) }
}

pub fn price(random: &mut Random) -> Price {
    Price { n: random.within(1, 10_000_000) as i32, d: *random.pick(&[1, 100, 10_000, 1_000_000, 10_000_000]) }
}

fn liquidity_pool(world: &World, pool: usize, random: &mut Random) -> LiquidityPoolEntry {
    let mut reserve = || (1 << 40) + random.within(0, 1 << 42);
    let product = LiquidityPoolEntryConstantProduct {
        params: world.pools[pool].params.clone(),
        reserve_a: reserve(),
        reserve_b: reserve(),
        total_pool_shares: reserve(),
        pool_shares_trust_line_count: 12 + pool as i64,
    };
    let body = LiquidityPoolEntryBody::LiquidityPoolConstantProduct(product);
    LiquidityPoolEntry { liquidity_pool_id: world.pools[pool].id.clone(), body }
}

fn balance(world: &World, contract: usize, who: Who, random: &mut Random) -> ContractDataEntry {
    ContractDataEntry {
        ext: ExtensionPoint::V0,
        contract: ScAddress::Contract(world.contracts[contract].clone()),
        key: balance_key(world, who),
        durability: ContractDataDurability::Persistent,
        val: balance_value(1 << 50 | random.amount()),
    }
}

/// `[Balance, ADDRESS]`, the key under which token contracts keep a balance.
pub fn balance_key(world: &World, who: Who) -> ScVal {
    vec(vec![symbol("Balance"), account_address(world.key(who))])
}

pub fn balance_value(amount: i64) -> ScVal {
    let flag = ScVal::Bool;
    map(vec![("amount", i128_value(amount)), ("authorized", flag(true)), ("clawback", flag(false))])
}

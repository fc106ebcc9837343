//! Who sends a transaction, who pays for it, and how much.
use std::ops::Range;

use stellar_xdr::Memo;

use crate::pubnet::mix::{Form, Intent, Kind};
use crate::random::Random;
use crate::world::{ARBITRAGEURS, CALLERS, MAKERS, PAYERS, SPONSORS, Who};

/// Services that pay other people's fees.
const FEE_SERVICES: u64 = 8;
const BASE_FEE: i64 = 100;
const MEMOS: [&str; 4] = ["thank you", "invoice 20260119", "payout", "withdrawal"];

/// A transaction that has its parties, in stroops.
#[derive(Clone, Debug)]
pub struct Party {
    pub intent: Intent,
    pub source: Who,
    pub payer: Who,
    pub memo: Memo,
    /// Paid for a contract call on top of the base fee.
    pub resource_fee: i64,
    /// Given back after the call.
    pub refund: i64,
    /// The source account's sequence number that the transaction uses; known once it is applied.
    pub sequence: i64,
}

impl Party {
    pub fn charged_before(&self) -> i64 {
        let units = self.intent.operations + usize::from(self.intent.form == Form::FeeBump);
        BASE_FEE * units as i64 + self.resource_fee
    }

    pub fn charged(&self) -> i64 {
        self.charged_before() - self.refund
    }

    /// What the transaction offers to pay at most.
    pub fn bid(&self, random: &mut Random) -> u32 {
        let usual = *random.pick(&[100, 101, 1_000, 10_000, 100_001]);
        (self.charged_before() + usual * self.intent.operations as i64) as u32
    }
}

/// Hands out accounts of one role, none twice in a ledger.
struct Deck {
    from: Range<Who>,
    at: Who,
    stride: Who,
}

impl Deck {
    fn new(from: Range<Who>, random: &mut Random) -> Self {
        let at = random.below(from.len() as u64) as Who;
        // An odd stride visits every place of a power of two before any twice.
        Self { at, stride: random.below(from.len() as u64) as Who | 1, from }
    }

    fn next(&mut self) -> Who {
        self.at = (self.at + self.stride) % self.from.len() as Who;
        self.from.start + self.at
    }
}

/// Give each intent its parties; no account sends twice in a ledger, as on the real network.
pub fn parties(intents: Vec<Intent>, random: &mut Random) -> Vec<Party> {
    let roles = [ARBITRAGEURS, MAKERS, PAYERS, CALLERS, SPONSORS];
    let mut decks = roles.map(|range| Deck::new(range, random));
    let deck = |kind| match kind {
        Kind::PathSend | Kind::PathReceive => 0,
        Kind::Offer => 1,
        Kind::Payment | Kind::Trust => 2,
        Kind::Invoke => 3,
        Kind::ClaimableBalance => 4,
    };
    intents.into_iter().map(|intent| party(intent, decks[deck(intent.kind)].next(), random)).collect()
}

fn party(intent: Intent, source: Who, random: &mut Random) -> Party {
    let service = PAYERS.start + random.below(FEE_SERVICES) as Who;
    let payer = if intent.form == Form::FeeBump { service } else { source };
    let call = intent.kind == Kind::Invoke;
    let resource_fee = if call { random.within(40_000, 90_000) } else { 0 };
    let refund = if call { 1 + resource_fee / random.within(3, 8) } else { 0 };
    Party { intent, source, payer, memo: memo(intent.kind, random), resource_fee, refund, sequence: 0 }
}

fn memo(kind: Kind, random: &mut Random) -> Memo {
    let text = |text: &str| Memo::Text(text.try_into().expect("28 bytes or less"));
    match (kind, random.below(100)) {
        (Kind::Payment, 0..35) => text(MEMOS[random.below(4) as usize]),
        (Kind::Payment, 35..50) => Memo::Id(random.below(1 << 40)),
        (Kind::PathSend, 0..15) => text("arb"),
        _ => Memo::None,
    }
}

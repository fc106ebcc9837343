//! A network of tokens: contracts of both protocols come, change and speak, among others that only look like them.
//!
//! What every ledger changes is known from what is put into it, and goes to the books with the ledger.
mod act;
mod collectible;
mod fungible;
mod hostile;
mod roster;
mod voice;
mod wasm;

use crate::books::Entry;
use crate::draft::Draft;
use crate::pubnet::ledger;
use crate::pubnet::mix::{Form, Intent, Kind};
use crate::pubnet::party::{Party, parties};
use crate::random::Random;
use crate::run::Drafts;
use crate::tokens::act::Act;
use crate::tokens::roster::{Number, Roster};
use crate::tokens::voice::Voice;
use crate::tokens::wasm::{CODES, Code};
use crate::world::{Stream, World};

/// Calls of contracts in a ledger, of those that speak of fungible tokens.
const CALLS: u64 = 24;
/// Ledgers in which a collection that came later makes tokens.
const COLLECTING: u64 = 12;

/// Ledgers of tokens from `first` on.
pub struct Tokens {
    world: World,
    roster: Roster,
    first: u32,
}

/// A transaction that is planned: what it does, what comes of it, and whether it succeeds.
struct Plan {
    act: Act,
    entries: Vec<Entry>,
    successful: bool,
}

impl Tokens {
    pub fn new(world: World, first: u32) -> Self {
        Self { world, roster: Roster::new(), first }
    }

    fn plans(&self, index: u64, random: &mut Random) -> Vec<Plan> {
        let mut plans = self.changes(index, random);
        for number in (0..roster::alive(index)).filter(|number| collects(*number, index)) {
            plans.push(self.collection(number, index, random));
        }
        let calls = CALLS - 6 + random.below(12);
        plans.extend((0..calls).map(|_| self.call(index, random)));
        plans
    }

    /// Contracts that come to another code; what they say in the same ledger, they say after it.
    fn changes(&self, index: u64, random: &mut Random) -> Vec<Plan> {
        let uploads = CODES.iter().filter(|_| index == 0).map(|code| certain(Act::Upload(*code)));
        let deployed = (0..roster::alive(index)).filter(|number| roster::born(*number) == index);
        let deployed = deployed.map(|number| {
            let code = roster::runs(number, index);
            Plan { entries: vec![self.entry(number, code)], ..certain(Act::Deploy(number, code)) }
        });
        let assets = roster::asset(index).map(|coin| {
            let contract = self.world.coins[coin].contract.clone();
            let entries = vec![Entry::Runs { contract, code: None, protocol: Some("SEP41") }];
            Plan { entries, ..certain(Act::Asset(coin)) }
        });
        let upgrades = roster::upgraded(index).map(|number| {
            let (old, new) = (roster::runs(number, index - 1), roster::runs(number, index));
            Plan { entries: vec![self.entry(number, new)], ..certain(Act::Upgrade(number, old, new)) }
        });
        let passing = self.passing(index, random);
        uploads.chain(deployed).chain(assets).chain(upgrades).chain(passing).collect()
    }

    /// What leaves a contract as it was: archived and brought back, or upgraded away and back in one ledger.
    fn passing(&self, index: u64, random: &mut Random) -> Vec<Plan> {
        if index % 7 != 3 && index % 7 != 6 {
            return Vec::new();
        }
        let number = random.below(roster::alive(index - 1));
        let code = roster::runs(number, index);
        let other = if code == Code::Silent { Code::Fungible } else { Code::Silent };
        let acts = match index % 7 {
            3 => vec![Act::Upgrade(number, code, other), Act::Upgrade(number, other, code)],
            _ => vec![Act::Restore(number, code)],
        };
        acts.into_iter().map(certain).collect()
    }

    fn entry(&self, number: Number, code: Code) -> Entry {
        let contract = roster::contract_id(&self.world, number);
        Entry::Runs { contract, code: Some(self.roster.code(code).1.clone()), protocol: code.protocol() }
    }

    fn collection(&self, number: Number, index: u64, random: &mut Random) -> Plan {
        let code = roster::runs(number, index);
        let mut voice = self.voice(number, index, random);
        collectible::tell(&mut voice, number, index - roster::born(number), code);
        hostile::tell(&mut voice);
        plan(voice, true, true)
    }

    /// Somebody's call: of an asset's contract, or of any that speaks of fungible tokens; one in eight fails.
    fn call(&self, index: u64, random: &mut Random) -> Plan {
        let failed = random.chance(12);
        let told = !failed || random.chance(50);
        let mut voice = match random.below(3) {
            0 => self.asset_voice(random),
            _ => {
                let number = random.below(roster::alive(index));
                self.voice(number, index, random)
            }
        };
        for _ in 0..1 + voice.random.below(4) {
            match voice.random.below(10) {
                0 => hostile::tell(&mut voice),
                1 => hostile::of_the_other(&mut voice),
                _ => fungible::tell(&mut voice),
            }
        }
        plan(voice, !failed, told)
    }

    fn voice<'a>(&'a self, number: Number, index: u64, random: &'a mut Random) -> Voice<'a> {
        Voice {
            world: &self.world,
            random,
            contract: roster::contract_id(&self.world, number),
            asset: None,
            protocol: roster::runs(number, index).protocol(),
            events: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn asset_voice<'a>(&'a self, random: &'a mut Random) -> Voice<'a> {
        let coin = random.below(self.world.coins.len() as u64) as usize;
        let coin = &self.world.coins[coin];
        Voice {
            world: &self.world,
            random,
            contract: coin.contract.clone(),
            asset: Some(coin.name.clone()),
            protocol: Some("SEP41"),
            events: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// What a transaction costs, as the asset's contract of the native asset tells it.
    fn fee(&self, party: &Party) -> Entry {
        let contract = self.world.coins[0].contract.clone();
        let account = stellar_xdr::ScAddress::Account(self.world.account(party.payer));
        Entry::Moved { contract, account, by: -i128::from(party.charged()) }
    }
}

impl Drafts for Tokens {
    fn draft(&self, sequence: u32) -> Draft<'_> {
        let index = u64::from(sequence - self.first);
        let mut random = self.world.random(Stream::Token, &[u64::from(sequence), 0, 0, 0]);
        let plans = self.plans(index, &mut random);
        let mut floor = ledger::floor(&self.world, sequence);
        let mut parties = parties(plans.iter().enumerate().map(intent).collect(), &mut floor.random);
        let mut acts = plans.iter().map(|plan| &plan.act);
        let applied = ledger::apply(&mut floor, &mut parties, |floor, party| {
            vec![acts.next().expect("an act a party").step(&self.roster, floor, party)]
        });
        let mut entries: Vec<_> = parties.iter().map(|party| self.fee(party)).collect();
        let successful = plans.into_iter().filter(|plan| plan.successful);
        entries.extend(successful.flat_map(|plan| plan.entries));
        Draft { entries, ..ledger::close(&mut floor, &parties, &applied, 0) }
    }
}

/// A collection that came later collects for a while only, so that ledgers do not grow.
fn collects(number: Number, index: u64) -> bool {
    let early = roster::born(number) < 4 || index - roster::born(number) < COLLECTING;
    early && roster::runs(number, index).speaks_of_collectibles()
}

/// A transaction that succeeds, and tells the books nothing.
fn certain(act: Act) -> Plan {
    Plan { act, entries: Vec::new(), successful: true }
}

fn plan(voice: Voice, successful: bool, told: bool) -> Plan {
    let Voice { contract, events, entries, .. } = voice;
    Plan { act: Act::Call { contract, events, told }, entries, successful }
}

fn intent((number, plan): (usize, &Plan)) -> Intent {
    let form = if number % 5 == 2 { Form::FeeBump } else { Form::Plain };
    Intent { kind: Kind::Invoke, successful: plan.successful, operations: 1, events: 0, form }
}

//! The books of a lake: what its contracts are and what its events come to, kept by who puts them in.
//!
//! Nothing here reads a ledger: the truth beside a lake would be worth nothing if it came from the lake.
use std::collections::BTreeMap;

use stellar_xdr::{ContractId, Hash, ScAddress};

use crate::counts::hex;
use crate::wide::Wide;

/// What one thing that happened changes, by its ledger.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A contract came to this code, which is of this protocol; an asset's contract has no code.
    Runs {
        contract: ContractId,
        code: Option<Hash>,
        protocol: Option<&'static str>,
    },
    Moved {
        contract: ContractId,
        account: ScAddress,
        by: i128,
    },
    Allowed {
        contract: ContractId,
        owner: ScAddress,
        spender: ScAddress,
        amount: i128,
        live_until: u32,
    },
    /// Without an owner the token is burnt.
    Owned {
        contract: ContractId,
        token: Wide,
        owner: Option<ScAddress>,
    },
}

#[derive(Default)]
pub struct Books {
    /// Lines, in the order of the ledgers.
    runs: Vec<String>,
    /// Sum and last ledger.
    balances: BTreeMap<(ContractId, ScAddress), (Wide, u32)>,
    /// Amount, the ledger until which it holds, and the ledger in which it was given.
    allowances: BTreeMap<(ContractId, ScAddress, ScAddress), (i128, u32, u32)>,
    owners: BTreeMap<(ContractId, Wide), (ScAddress, u32)>,
}

impl Books {
    /// Enter what happened in a ledger; ledgers come in order.
    pub fn enter(&mut self, ledger: u32, entries: Vec<Entry>) {
        entries.into_iter().for_each(|entry| self.enter_one(ledger, entry));
    }

    fn enter_one(&mut self, ledger: u32, entry: Entry) {
        match entry {
            Entry::Runs { contract, code, protocol } => {
                let protocol = protocol.map_or("null".into(), |id| format!("\"{id}\""));
                let code = code.map_or("null".into(), |hash| format!("\"{}\"", hex(&hash.0)));
                self.runs.push(format!(
                    "{{\"kind\": \"contract\", \"contract\": \"{contract}\", \"from_ledger\": {ledger}, \
                     \"protocol\": {protocol}, \"wasm_hash\": {code}}}\n"
                ));
            }
            Entry::Moved { contract, account, by } => {
                let (sum, last) = self.balances.entry((contract, holder(account))).or_default();
                (*sum, *last) = (sum.plus(Wide::signed(by)), ledger);
            }
            Entry::Allowed { contract, owner, spender, amount, live_until } => {
                let key = (contract, holder(owner), holder(spender));
                self.allowances.insert(key, (amount, live_until, ledger));
            }
            Entry::Owned { contract, token, owner: Some(owner) } => {
                self.owners.insert((contract, token), (holder(owner), ledger));
            }
            Entry::Owned { contract, token, owner: None } => {
                self.owners.remove(&(contract, token));
            }
        }
    }

    /// The text of `truth.jsonl`: what stands after the last ledger, and nothing that has come to zero.
    pub fn text(&self) -> String {
        let mut out = self.runs.concat();
        for ((contract, account), (sum, last)) in self.balances.iter().filter(|(_, held)| held.0 != Wide::default()) {
            out += &format!(
                "{{\"kind\": \"balance\", \"contract\": \"{contract}\", \"account\": \"{account}\", \
                 \"balance\": \"{sum}\", \"last_ledger\": {last}}}\n"
            );
        }
        for ((contract, owner, spender), (amount, until, last)) in self.allowances.iter().filter(|(_, a)| a.0 != 0) {
            out += &format!(
                "{{\"kind\": \"allowance\", \"contract\": \"{contract}\", \"owner\": \"{owner}\", \
                 \"spender\": \"{spender}\", \"amount\": \"{amount}\", \"live_until_ledger\": {until}, \
                 \"last_ledger\": {last}}}\n"
            );
        }
        for ((contract, token), (owner, last)) in &self.owners {
            out += &format!(
                "{{\"kind\": \"owner\", \"contract\": \"{contract}\", \"token_id\": \"{}\", \"owner\": \"{owner}\", \
                 \"last_ledger\": {last}}}\n",
                token.unsigned()
            );
        }
        out
    }
}

/// Users of one account hold together what the account holds.
fn holder(address: ScAddress) -> ScAddress {
    match address {
        ScAddress::MuxedAccount(muxed) => ScAddress::Account(crate::xdr::account_id(muxed.ed25519.0)),
        other => other,
    }
}

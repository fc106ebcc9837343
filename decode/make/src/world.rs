//! Who and what a synthetic network is made of: accounts, assets, pools and contracts, all from the seed.
use std::ops::Range;

use stellar_xdr::{
    AccountId, AlphaNum4, AlphaNum12, Asset, AssetCode4, AssetCode12, ContractId, ContractIdPreimage, Hash,
    HashIdPreimage, HashIdPreimageContractId, LiquidityPoolConstantProductParameters, LiquidityPoolParameters, PoolId,
    ScVal, TrustLineAsset,
};

use crate::random::Random;
use crate::xdr::{account_id, hash_of, sha256};

/// An account, by its number; its key follows from the seed.
pub type Who = u32;

/// Accounts by what they do all day; every range is a power of two long.
pub const ARBITRAGEURS: Range<Who> = 0..256;
pub const MAKERS: Range<Who> = 256..320;
pub const PAYERS: Range<Who> = 1024..2048;
pub const CALLERS: Range<Who> = 2048..2112;
pub const SPONSORS: Range<Who> = 2112..2128;
pub const HOLDERS: Range<Who> = 4096..20_480;
const ISSUERS: Who = 3000;

const CODES: [&str; 24] = [
    "USD", "EUR", "GOLD", "BTC", "ETH", "ARS", "BRL", "NGN", "KES", "PHP", "MXN", "SILVER", "YIELD", "CARBON", "SHARE",
    "POINTS", "VELO", "TREE", "WATER", "SOLAR", "TICKET", "COFFEE", "GRAIN", "LITHIUM",
];
const POOLS: usize = 48;
const CONTRACTS: usize = 16;

/// An asset in the forms that ledgers use.
pub struct Coin {
    pub asset: Asset,
    pub line: TrustLineAsset,
    /// `native` or `CODE:ISSUER`, the last topic of its events.
    pub name: ScVal,
    /// Its Stellar Asset Contract.
    pub contract: ContractId,
    pub issuer: Option<Who>,
}

pub struct Pool {
    pub id: PoolId,
    pub params: LiquidityPoolConstantProductParameters,
    pub a: usize,
    pub b: usize,
}

pub struct World {
    pub seed: u64,
    pub network: [u8; 32],
    /// The first is the native one.
    pub coins: Vec<Coin>,
    pub pools: Vec<Pool>,
    pub contracts: Vec<ContractId>,
}

/// What a number stream is for; each has its own, so that one more draw here changes nothing there.
#[derive(Clone, Copy)]
pub enum Stream {
    Key = 1,
    Ledger,
    Empty,
    Pool,
    Contract,
    Traits,
    Entry,
    Skip,
    Token,
}

impl World {
    pub fn new(seed: u64, passphrase: &str) -> Self {
        let network = sha256(&[passphrase.as_bytes()]);
        let mut world = Self { seed, network, coins: Vec::new(), pools: Vec::new(), contracts: Vec::new() };
        world.coins = (0..=CODES.len()).map(|number| world.coin(number)).collect();
        world.pools = (0..POOLS).map(|number| world.pool(number)).collect();
        let mut random = world.random(Stream::Contract, &[]);
        world.contracts = (0..CONTRACTS).map(|_| ContractId(Hash(random.bytes()))).collect();
        world
    }

    pub fn random(&self, stream: Stream, path: &[u64]) -> Random {
        let mut full = vec![self.seed, stream as u64];
        full.extend_from_slice(path);
        Random::of(&full)
    }

    pub fn key(&self, who: Who) -> [u8; 32] {
        Random::of(&[self.seed, Stream::Key as u64, u64::from(who)]).bytes()
    }

    pub fn account(&self, who: Who) -> AccountId {
        account_id(self.key(who))
    }

    fn coin(&self, number: usize) -> Coin {
        let issuer = number.checked_sub(1).map(|n| ISSUERS + n as Who);
        let asset = match issuer {
            None => Asset::Native,
            Some(who) => issued(CODES[number - 1], self.account(who)),
        };
        let text = issuer.map_or("native".into(), |who| format!("{}:{}", CODES[number - 1], self.account(who)));
        let preimage = HashIdPreimage::ContractId(HashIdPreimageContractId {
            network_id: Hash(self.network),
            contract_id_preimage: ContractIdPreimage::Asset(asset.clone()),
        });
        let name = ScVal::String(stellar_xdr::ScString(text.try_into().expect("short")));
        Coin { line: line(&asset), name, contract: ContractId(hash_of(&preimage)), issuer, asset }
    }

    fn pool(&self, number: usize) -> Pool {
        let mut random = self.random(Stream::Pool, &[number as u64]);
        let a = random.below(self.coins.len() as u64 - 1) as usize;
        let b = a + 1 + random.below((self.coins.len() - a - 1) as u64) as usize;
        let (a, b) = if self.coins[a].asset < self.coins[b].asset { (a, b) } else { (b, a) };
        let (asset_a, asset_b) = (self.coins[a].asset.clone(), self.coins[b].asset.clone());
        let params = LiquidityPoolConstantProductParameters { asset_a, asset_b, fee: 30 };
        let id = PoolId(hash_of(&LiquidityPoolParameters::LiquidityPoolConstantProduct(params.clone())));
        Pool { id, params, a, b }
    }
}

fn issued(code: &str, issuer: AccountId) -> Asset {
    let mut bytes = [0; 12];
    bytes[..code.len()].copy_from_slice(code.as_bytes());
    if code.len() > 4 {
        return Asset::CreditAlphanum12(AlphaNum12 { asset_code: AssetCode12(bytes), issuer });
    }
    let short = [bytes[0], bytes[1], bytes[2], bytes[3]];
    Asset::CreditAlphanum4(AlphaNum4 { asset_code: AssetCode4(short), issuer })
}

fn line(asset: &Asset) -> TrustLineAsset {
    match asset.clone() {
        Asset::Native => TrustLineAsset::Native,
        Asset::CreditAlphanum4(a) => TrustLineAsset::CreditAlphanum4(a),
        Asset::CreditAlphanum12(a) => TrustLineAsset::CreditAlphanum12(a),
    }
}

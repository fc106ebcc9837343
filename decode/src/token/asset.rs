//! Which contracts are Stellar Asset Contracts, by proof: the id is a hash of the network and the asset.
use crate::prove::Hash;
use crate::token::table::Secret;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Assets that are remembered; a busy network has as many in a month, and each takes 150 bytes.
const MOST_KEPT: usize = 1 << 17;
/// `ENVELOPE_TYPE_CONTRACT_ID`.
const CONTRACT_ID: [u8; 4] = [0, 0, 0, 8];
/// `CONTRACT_ID_PREIMAGE_FROM_ASSET`.
const FROM_ASSET: [u8; 4] = [0, 0, 0, 1];
/// Version byte of an account's strkey (SEP-23).
const ACCOUNT: u8 = 6 << 3;
/// Characters of an account's strkey.
const STRKEY: usize = 56;

/// Proves contracts by the assets that their events name; remembers those that it has proved.
#[derive(Debug, Default)]
pub struct Assets {
    network: Hash,
    native: Hash,
    proven: HashMap<Hash, Box<[u8]>, Secret>,
}

impl Assets {
    /// Of one network; what was proved on it before is still known.
    pub fn on(&mut self, network: &Hash) {
        if self.network != *network {
            let native = contract_id(network, &[0; 4]);
            *self = Assets { network: *network, native, proven: HashMap::default() };
        }
    }

    /// The contract of the native asset.
    pub fn native(&self) -> &Hash {
        &self.native
    }

    /// Whether the contract is that of the asset: `native`, or `CODE:ISSUER` (SEP-11).
    pub fn proves(&mut self, contract: &Hash, asset: &[u8]) -> bool {
        if let Some(proven) = self.proven.get(contract) {
            return **proven == *asset;
        }
        let proves = xdr(asset).is_some_and(|(xdr, length)| contract_id(&self.network, &xdr[..length]) == *contract);
        if proves {
            if self.proven.len() >= MOST_KEPT {
                self.proven.clear();
            }
            self.proven.insert(*contract, asset.into());
        }
        proves
    }
}

/// `sha256` of the `HashIDPreimage`.
fn contract_id(network: &Hash, asset: &[u8]) -> Hash {
    let parts = Sha256::new().chain_update(CONTRACT_ID).chain_update(network).chain_update(FROM_ASSET);
    parts.chain_update(asset).finalize().into()
}

/// The `Asset` and its length in bytes.
fn xdr(asset: &[u8]) -> Option<([u8; 52], usize)> {
    let mut xdr = [0; 52];
    if asset == b"native" {
        return Some((xdr, 4));
    }
    let colon = asset.iter().position(|byte| *byte == b':')?;
    let (code, issuer) = (&asset[..colon], key(&asset[colon + 1..])?);
    let (kind, room) = match code.len() {
        1..=4 => (1, 4),
        5..=12 => (2, 12),
        _ => return None,
    };
    xdr[3] = kind;
    xdr[4..4 + code.len()].copy_from_slice(code);
    // four zero bytes are the key's type
    xdr[8 + room..40 + room].copy_from_slice(&issuer);
    Some((xdr, 40 + room))
}

/// The key in an account's strkey. Its checksum is not looked at: the contract's hash tells more.
fn key(strkey: &[u8]) -> Option<Hash> {
    if strkey.len() != STRKEY {
        return None;
    }
    let mut bytes = [0; 35];
    for (eight, five) in strkey.chunks_exact(8).zip(bytes.chunks_exact_mut(5)) {
        let bits = eight.iter().try_fold(0_u64, |bits, letter| Some(bits << 5 | base32(*letter)?))?;
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    (bytes[0] == ACCOUNT).then(|| *bytes[1..].first_chunk().expect("34 bytes"))
}

fn base32(letter: u8) -> Option<u64> {
    match letter {
        b'A'..=b'Z' => Some(u64::from(letter - b'A')),
        b'2'..=b'7' => Some(u64::from(letter - b'2') + 26),
        _ => None,
    }
}

//! Makes synthetic lakes that are valid in every hash: invented networks, and real ledgers repeated.
//!
//! A lake follows from its order alone: the same order gives the same bytes, whatever the number of threads.
mod books;
mod counts;
mod draft;
mod error;
mod layout;
mod object;
mod parts;
mod pubnet;
mod quota;
mod random;
mod repeat;
mod run;
mod source;
mod tokens;
mod wide;
mod world;
mod xdr;

use std::path::Path;

pub use crate::counts::Counts;
pub use crate::error::{CorruptSource, MakeError};

use crate::draft::Chain;
use crate::layout::Layout;
use crate::pubnet::{Pubnet, Sparse};
use crate::repeat::Repeat;
use crate::run::Drafts;
use crate::tokens::Tokens;
use crate::world::World;

/// The network that invented ledgers belong to.
pub const PASSPHRASE: &str = "ledgerfill synthetic network ; 2026";

/// What the ledgers of a lake hold.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The real mix of mid-2026: about 1 MB a ledger.
    Pubnet,
    /// Mostly empty ledgers.
    Sparse,
    /// Contracts and tokens of both protocols, with the truth of them in `truth.jsonl`.
    Tokens,
    /// Real ledgers, again and again: objects (name, zstd bytes) in order, and their network.
    Repeat { objects: &'a [(&'a str, &'a [u8])], passphrase: &'a str },
}

/// A lake to be made.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// A folder that is empty or does not exist.
    pub path: &'a Path,
    /// The lake holds this many ledgers from `first` on, and those that fill up its first and last object.
    pub first: u32,
    pub ledgers: u32,
    pub seed: u64,
    pub content: Content<'a>,
    pub ledgers_per_object: u32,
    pub objects_per_partition: u32,
    pub threads: usize,
}

/// Make the lake; `keep_going` is asked some times a second.
///
/// The manifest and then `expected.json` come last: a lake without them is not whole.
pub fn make_lake(order: &Order<'_>, keep_going: &mut dyn FnMut() -> bool) -> Result<Counts, MakeError> {
    let layout = Layout::new(order.first, order.ledgers, order.ledgers_per_object, order.objects_per_partition)?;
    let world = || World::new(order.seed, PASSPHRASE);
    let (drafts, passphrase): (Box<dyn Drafts>, &str) = match order.content {
        Content::Pubnet => (Box::new(Pubnet(world())), PASSPHRASE),
        Content::Sparse => (Box::new(Sparse(world())), PASSPHRASE),
        Content::Tokens => (Box::new(Tokens::new(world(), layout.first)), PASSPHRASE),
        Content::Repeat { objects, passphrase } => (Box::new(repeat(&layout, objects, passphrase)?), passphrase),
    };
    object::make_root(order.path)?;
    let previous = xdr::sha256(&[passphrase.as_bytes(), &order.seed.to_be_bytes()]);
    let chain = run::run(order.path, &layout, &*drafts, Chain::new(previous), order.threads, keep_going)?;
    object::publish(order.path, ".config.json", layout.manifest(passphrase).as_bytes())?;
    if matches!(order.content, Content::Tokens) {
        object::publish(order.path, "truth.jsonl", chain.books.text().as_bytes())?;
    }
    let expected = counts::expected(&layout, passphrase, &chain.counts, &chain.ends);
    object::publish(order.path, "expected.json", expected.as_bytes())?;
    Ok(chain.counts)
}

fn repeat(layout: &Layout, objects: &[(&str, &[u8])], passphrase: &str) -> Result<Repeat, MakeError> {
    if objects.is_empty() || passphrase.is_empty() {
        return Err(MakeError::argument("ledgers to repeat need at least one object and their network's passphrase"));
    }
    Repeat::new(layout.first, objects, passphrase)
}

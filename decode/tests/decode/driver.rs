//! Runs a decoder over plain or stored bytes and gives back what it says.
use crate::built::PASSPHRASE;
use _decode::chunk::{Chunk, Decoder, Object, Request};
use _decode::fault::CorruptLedger;
use std::collections::HashMap;

/// What a chunk came to, with its rows.
pub struct Ran {
    pub chunk: Chunk,
    pub written: Vec<u8>,
}

impl Ran {
    /// The error, which has to be there.
    pub fn error(&self) -> &CorruptLedger {
        self.chunk.error.as_ref().expect("an error")
    }
}

/// Decodes stored objects, or plain ledgers where `framed`, of the built network.
pub fn run(first: u32, last: u32, objects: &[(u32, u32, &[u8])], framed: bool) -> Ran {
    run_with(Decoder::new(PASSPHRASE, HashMap::new(), 1 << 20), first, last, objects, framed)
}

/// The same with a decoder of one's own.
pub fn run_with(mut decoder: Decoder, first: u32, last: u32, objects: &[(u32, u32, &[u8])], framed: bool) -> Ran {
    let objects: Vec<Object> = objects
        .iter()
        .map(|(first, last, bytes)| Object { name: "built", first: *first, last: *last, bytes })
        .collect();
    let request = Request { first, last, objects: &objects, framed };
    assert_eq!(request.mistake(), None);
    let mut chunk = decoder.chunk(request);
    let mut written = Vec::new();
    decoder.write(&mut chunk, &mut written).expect("memory takes it");
    Ran { chunk, written }
}

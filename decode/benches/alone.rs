//! The pass over chunks without Python, for the benchmarks in `benchmarks/`, which drive it by lines on standard input.
//!
//! `chunk FIRST LAST` begins a chunk, `object FIRST LAST PATH` reads an object of it into memory;
//! `pass FROM TO [FILE]` passes over chunks (numbers from 0, both included), `all [FILE]` over all of them.
//! The rows of each chunk go to FILE, if there is one; `prove` passes over all chunks and makes no rows.
//! Answers a pass with its CPU and wall-clock nanoseconds.
use _decode::chunk::{Decoder, MAX_OBJECT_BYTES, Object, Request};
use _decode::rows::Rows;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

#[derive(Default)]
struct Chunk {
    first: u32,
    last: u32,
    objects: Vec<(String, u32, u32, Vec<u8>)>,
}

fn main() {
    let Some(passphrase) = std::env::args().skip(1).find(|argument| argument != "--bench") else {
        return; // `cargo bench` of everything: it is no measurement by itself
    };
    let decoder = || Decoder::new(&passphrase, HashMap::new(), MAX_OBJECT_BYTES);
    let mut prover = decoder().making(Rows::of([]).expect("no tables are tables"));
    let mut decoder = decoder();
    let mut chunks: Vec<Chunk> = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.expect("a line of text");
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["chunk", first, last] => {
                chunks.push(Chunk { first: number(first), last: number(last), objects: Vec::new() });
            }
            ["object", first, last, path] => {
                let bytes = std::fs::read(path).expect("read an object");
                let object = (path.to_owned(), number(first), number(last), bytes);
                chunks.last_mut().expect("a chunk before its objects").objects.push(object);
            }
            ["pass", from, to, ref file @ ..] => {
                pass(&mut decoder, &chunks[number(from) as usize..=number(to) as usize], file.first());
            }
            ["all", ref file @ ..] => pass(&mut decoder, &chunks, file.first()),
            ["prove"] => pass(&mut prover, &chunks, None),
            _ => panic!("no such command: {line}"),
        }
    }
}

fn number(text: &str) -> u32 {
    text.parse().expect("a number")
}

fn pass(decoder: &mut Decoder, chunks: &[Chunk], file: Option<&&str>) {
    let (cpu, wall) = (cpu_nanoseconds(), Instant::now());
    for chunk in chunks {
        let objects: Vec<Object> = chunk
            .objects
            .iter()
            .map(|(name, first, last, bytes)| Object { name, first: *first, last: *last, bytes })
            .collect();
        let request = Request { first: chunk.first, last: chunk.last, objects: &objects, framed: false };
        let mut done = decoder.chunk(request);
        assert_eq!(done.error, None);
        if let Some(path) = file {
            let mut out = File::create(path).expect("make the file for the rows");
            decoder.write(&mut done, &mut out).expect("write the rows");
        }
    }
    println!("{} {}", cpu_nanoseconds() - cpu, wall.elapsed().as_nanos());
    std::io::stdout().flush().expect("answer");
}

fn cpu_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, `time` is ours to write
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

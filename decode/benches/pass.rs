//! One core, zstd objects in memory to verified COPY bytes of all four tables: the walk against the typed decoder.
//!
//! `cargo bench --bench pass -- LAKE [--threads N] [--seconds S]`; the lake holds one ledger an object.
//! Both sides open the objects with the same reused zstd context, prove the same hashes and write the same rows;
//! before anything is timed their rows are held against each other, byte by byte. Times are CPU time of the thread.
//! The typed side has to re-encode what it hashes. `typed decode alone` has no proofs and no rows: a lower bound of it.
#[path = "../tests/decode/files.rs"]
#[allow(dead_code)] // the tests use the rest
mod files;
#[path = "../tests/decode/reference.rs"]
mod reference;

use _decode::chunk::{Chunk, Decoder, MAX_OBJECT_BYTES, Nanoseconds, Object, Request};
use _decode::container::Opener;
use _decode::prove::network_id;
use reference::Tables;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stellar_xdr::{LedgerCloseMetaBatch, Limits, ReadXdr};

const PASSES_A_TURN: usize = 4;
const NANOSECONDS_A_MILLISECOND: f64 = 1e6;

/// A lake in memory: its objects in ledger order, in chunks that link.
struct Lake {
    passphrase: String,
    objects: Vec<(String, u32, Vec<u8>)>,
}

struct Arguments {
    lake: PathBuf,
    threads: usize,
    budget: Duration,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: cargo bench --bench pass -- LAKE [--threads N] [--seconds S]");
        return ExitCode::from(2);
    };
    let lake = Lake::read(&arguments.lake);
    let mut walker = Walker::new(&lake);
    let mut typed = Typed::new(&lake);
    let mut decoding = Typed::new(&lake);
    assert!(walker.rows() == typed.rows(), "both sides write the same rows");
    let count = lake.objects.len() as f64;
    println!("{} ledgers of {}", lake.objects.len(), arguments.lake.display());
    // taken in turns, so that a noisy machine is noisy for all
    let [walk, decode, full] =
        best(arguments.budget, cpu_time, [&mut || walker.pass(), &mut || decoding.decode(), &mut || typed.pass()]);
    let stages = walker.stages();
    println!("walk, prove, encode     {:>8.3} ms a ledger   ({stages})", milliseconds(walk) / count);
    println!("typed, same proofs/rows {:>8.3} ms a ledger", milliseconds(full) / count);
    println!("typed decode alone      {:>8.3} ms a ledger", milliseconds(decode) / count);
    println!("ratio                   {:>8.2}   (target 3.5)", full.as_secs_f64() / walk.as_secs_f64());
    println!("ratio to decode alone   {:>8.2}", decode.as_secs_f64() / walk.as_secs_f64());
    if arguments.threads > 1 {
        threads(&lake, arguments.threads, arguments.budget, walk);
    }
    ExitCode::SUCCESS
}

fn arguments() -> Option<Arguments> {
    let mut lake = None;
    let (mut threads, mut seconds) = (1, 10.0);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--bench" => {} // cargo's own
            "--threads" => threads = given.next()?.parse().ok()?,
            "--seconds" => seconds = given.next()?.parse().ok()?,
            _ => lake = Some(PathBuf::from(argument)),
        }
    }
    Some(Arguments { lake: lake?, threads, budget: Duration::from_secs_f64(seconds) })
}

impl Lake {
    /// Every object of the lake; the number is in its name, `HEX--NUMBER.xdr.zst`.
    fn read(folder: &Path) -> Self {
        let manifest = std::fs::read_to_string(folder.join(".config.json")).expect("a lake has a manifest");
        let mut objects = Vec::new();
        for path in files::below(folder, ".xdr.zst") {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let number = name.split("--").nth(1).and_then(|rest| rest.split('.').next());
            let ledger = number.and_then(|number| number.parse().ok()).expect("one ledger an object");
            objects.push((name, ledger, std::fs::read(&path).expect("read an object")));
        }
        objects.sort_by_key(|object| object.1);
        Lake { passphrase: passphrase(&manifest), objects }
    }

    /// The objects in runs of ledgers in a row, as chunks would have them.
    fn chunks(&self) -> Vec<Vec<Object<'_>>> {
        let objects: Vec<Object> = self
            .objects
            .iter()
            .map(|(name, ledger, bytes)| Object { name, first: *ledger, last: *ledger, bytes })
            .collect();
        objects.chunk_by(|a, b| a.last + 1 == b.first).flat_map(|run| run.chunks(64)).map(<[Object]>::to_vec).collect()
    }
}

fn passphrase(manifest: &str) -> String {
    let after = manifest.split("\"networkPassphrase\":").nth(1).expect("a manifest names its network");
    after.split('"').nth(1).expect("a string").to_owned()
}

/// The decoder under test.
struct Walker<'a> {
    decoder: Decoder,
    chunks: Vec<Vec<Object<'a>>>,
    /// The shortest pass on the wall, and its stages.
    best: (Duration, Nanoseconds),
}

impl<'a> Walker<'a> {
    fn new(lake: &'a Lake) -> Self {
        let decoder = Decoder::new(&lake.passphrase, HashMap::new(), MAX_OBJECT_BYTES);
        Walker { decoder, chunks: lake.chunks(), best: (Duration::MAX, Nanoseconds::default()) }
    }

    fn chunk(decoder: &mut Decoder, objects: &[Object]) -> Chunk {
        let (first, last) = (objects[0].first, objects[objects.len() - 1].last);
        let chunk = decoder.chunk(Request { first, last, objects, framed: false });
        assert_eq!(chunk.error, None);
        chunk
    }

    fn pass(&mut self) {
        let began = Instant::now();
        let mut sum = Nanoseconds::default();
        for objects in &self.chunks {
            let time = Self::chunk(&mut self.decoder, objects).nanoseconds;
            sum.decompress += time.decompress;
            sum.walk += time.walk;
            sum.prove += time.prove;
            sum.encode += time.encode;
        }
        if began.elapsed() < self.best.0 {
            self.best = (began.elapsed(), sum);
        }
    }

    fn rows(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for objects in &self.chunks {
            let mut chunk = Self::chunk(&mut self.decoder, objects);
            self.decoder.write(&mut chunk, &mut out).expect("memory takes it");
        }
        out
    }

    fn stages(&self) -> String {
        let count: usize = self.chunks.iter().map(Vec::len).sum();
        let stage = |nanoseconds: u64| nanoseconds as f64 / NANOSECONDS_A_MILLISECOND / count as f64;
        let time = self.best.1;
        let [opened, walked] = [stage(time.decompress), stage(time.walk)];
        let [proved, encoded] = [stage(time.prove), stage(time.encode)];
        format!("zstd {opened:.3}, walk {walked:.3}, prove {proved:.3}, encode {encoded:.3}")
    }
}

/// The same by typed values.
struct Typed<'a> {
    opener: Opener,
    tables: Tables,
    network: [u8; 32],
    chunks: Vec<Vec<Object<'a>>>,
}

impl<'a> Typed<'a> {
    fn new(lake: &'a Lake) -> Self {
        let network = network_id(&lake.passphrase);
        Typed { opener: Opener::new(MAX_OBJECT_BYTES), tables: Tables::default(), network, chunks: lake.chunks() }
    }

    fn open(opener: &mut Opener, object: &Object) -> LedgerCloseMetaBatch {
        let plain = opener.open(object.bytes).expect("a sound object");
        LedgerCloseMetaBatch::from_xdr(plain, Limits { depth: 10_000, len: plain.len() }).expect("a sound batch")
    }

    fn decode(&mut self) {
        for object in self.chunks.iter().flatten() {
            std::hint::black_box(Self::open(&mut self.opener, object));
        }
    }

    fn chunk(&mut self, index: usize) {
        self.tables.start();
        for object in &self.chunks[index] {
            for ledger in Self::open(&mut self.opener, object).ledger_close_metas.iter() {
                self.tables.add(ledger, &self.network).expect("a sound ledger");
            }
        }
    }

    fn pass(&mut self) {
        (0..self.chunks.len()).for_each(|index| self.chunk(index));
    }

    fn rows(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for index in 0..self.chunks.len() {
            self.chunk(index);
            for stream in &mut self.tables.streams {
                stream.end();
                out.extend_from_slice(stream.bytes());
            }
        }
        out
    }
}

/// Time on the wall: several threads together.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// CPU time of this thread: other programs on the machine do not count.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every system that the project builds on, and `time` is there to be written
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The least time of many runs of each by `clock`, taken in turns until the budget is spent, at least five.
fn best<const N: usize>(budget: Duration, clock: fn() -> Duration, mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut best = [Duration::MAX; N];
    let began = Instant::now();
    for round in 0.. {
        if round >= 5 && began.elapsed() > budget {
            break;
        }
        for (work, best) in works.iter_mut().zip(&mut best) {
            // a worker goes on and on: after the first of a turn the caches are its own
            for _ in 0..PASSES_A_TURN {
                let began = clock();
                work();
                *best = (clock() - began).min(*best);
            }
        }
    }
    best
}

fn threads(lake: &Lake, count: usize, budget: Duration, alone: Duration) {
    let mut walkers: Vec<Walker> = (0..count).map(|_| Walker::new(lake)).collect();
    let [together] = best(
        budget,
        wall,
        [&mut || {
            std::thread::scope(|scope| {
                for walker in &mut walkers {
                    scope.spawn(|| walker.pass());
                }
            });
        }],
    );
    let rate = (lake.objects.len() * count) as f64 / together.as_secs_f64();
    let scale = alone.as_secs_f64() * count as f64 / together.as_secs_f64();
    println!("{count} threads               {rate:>8.0} ledgers/s   ({scale:.2} times one)");
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

//! Threads side by side: each makes a whole object, waits for its turn to link it, then compresses and writes it.
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::draft::{Chain, Draft, Linked};
use crate::error::MakeError;
use crate::layout::Layout;
use crate::object::{Packer, publish};

/// How often the caller is asked whether to go on.
const ASK: Duration = Duration::from_millis(100);

/// Where drafts come from: the same sequence gives the same draft, on every thread.
pub trait Drafts: Sync {
    fn draft(&self, sequence: u32) -> Draft<'_>;
}

struct Turn {
    chain: Chain,
    /// The object that may be linked now.
    object: usize,
    running: usize,
    stop: Option<MakeError>,
}

struct Run<'a> {
    root: &'a Path,
    layout: &'a Layout,
    drafts: &'a dyn Drafts,
    next: AtomicUsize,
    turn: Mutex<Turn>,
    changed: Condvar,
}

/// Make every object of the lake; the chain that comes back is at its end.
pub fn run(
    root: &Path,
    layout: &Layout,
    drafts: &dyn Drafts,
    chain: Chain,
    threads: usize,
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Chain, MakeError> {
    let threads = threads.clamp(1, layout.objects());
    let turn = Mutex::new(Turn { chain, object: 0, running: threads, stop: None });
    let run = Run { root, layout, drafts, next: AtomicUsize::new(0), turn, changed: Condvar::new() };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| run.work());
        }
        run.watch(keep_going);
    });
    let turn = run.turn.into_inner().unwrap_or_else(PoisonError::into_inner);
    turn.stop.map_or(Ok(turn.chain), Err)
}

impl Run<'_> {
    fn work(&self) {
        // Dropped on a panic too, so that nobody waits for a turn that never comes.
        let _leave = Leave(self);
        if let Err(error) = self.objects() {
            self.stop(error);
        }
    }

    fn objects(&self) -> Result<(), MakeError> {
        let mut packer = Packer::new().map_err(|error| MakeError::io(self.root, error))?;
        loop {
            let object = self.next.fetch_add(1, Ordering::Relaxed);
            if object >= self.layout.objects() {
                return Ok(());
            }
            let ledgers = self.layout.ledgers_of(object);
            let drafts = ledgers.clone().map(|sequence| self.drafts.draft(sequence)).collect();
            let Some(linked) = self.link(object, drafts) else { return Ok(()) };
            let key = self.layout.key(*ledgers.start());
            let data = packer.pack(&ledgers, &linked).map_err(|error| MakeError::io(&self.root.join(&key), error))?;
            publish(self.root, &key, &data)?;
        }
    }

    /// Link the drafts when it is this object's turn; `None` once the run has to stop.
    fn link<'d>(&self, object: usize, drafts: Vec<Draft<'d>>) -> Option<Vec<Linked<'d>>> {
        let early = |turn: &mut Turn| turn.stop.is_none() && turn.object != object;
        let mut turn = self.changed.wait_while(self.lock(), early).unwrap_or_else(PoisonError::into_inner);
        if turn.stop.is_some() {
            return None;
        }
        let linked = drafts.into_iter().map(|draft| turn.chain.link(draft)).collect();
        turn.object += 1;
        self.changed.notify_all();
        Some(linked)
    }

    /// Ask the caller now and then, until the threads are done.
    fn watch(&self, keep_going: &mut dyn FnMut() -> bool) {
        loop {
            let waited = self.changed.wait_timeout_while(self.lock(), ASK, |turn| turn.running > 0);
            let running = waited.unwrap_or_else(PoisonError::into_inner).0.running;
            if running == 0 {
                return;
            }
            if !keep_going() {
                self.stop(MakeError::Interrupted);
            }
        }
    }

    fn stop(&self, error: MakeError) {
        self.next.store(self.layout.objects(), Ordering::Relaxed);
        self.lock().stop.get_or_insert(error);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Leave<'a>(&'a Run<'a>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        if thread::panicking() {
            self.0.stop(MakeError::Interrupted);
        }
        self.0.changed.notify_all();
    }
}

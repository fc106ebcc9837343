"""A worker's chunk through Python, objects in memory, against the same Rust pass without Python: CPU.

Both read the same objects, prove them and write the rows to a file in shared memory, in turns, chunk by chunk.
What a worker takes besides, to read the objects from their folder, is shown beside it.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

import figures
import inputs
import rust

from workers import allocator
from workers._decode import Decoder
from workers.entry import Worker
from workers.messages import LedgerRange, Task, WorkerMessage
from workers.sources import Reading

TARGET = 1.10


class Memory:
    """A source that has been read: nothing of it is waited for."""

    framed = False

    def read(self, ledgers: LedgerRange) -> Reading:
        """Refuse: what is read is handed to the worker."""
        raise NotImplementedError(ledgers)


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=256, rounds=15)
    allocator.keep_freed_memory()  # as a worker does
    with inputs.lakes(given.ledgers, given.lakes) as lakes, tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for lake in lakes:
            _measure(lake, given.rounds, Path(folder))


def _measure(lake: inputs.Input, rounds: int, folder: Path) -> None:
    chunks = lake.chunks()
    readings = [lake.read(chunk) for chunk in chunks]
    figures.title("worker: a chunk through Python over the Rust pass alone, CPU", lake.name, f"{len(chunks)} chunks")
    worker = Worker(Memory(), Decoder(lake.passphrase), _unheard)
    alone = rust.Alone(lake, chunks)
    turns = []
    for _ in range(rounds + 1):  # the first fills buffers and does not count
        spent = [0.0, 0.0, 0.0, 0.0]
        for number, chunk in enumerate(chunks):
            spent[0] += through_python(worker, chunk, readings[number], folder / "python")
            spent[1] += alone.one(number, folder / "rust").cpu_s
            spent[2] += alone.one(number).cpu_s
            spent[3] += _reading(lake, chunk)
            for path in folder.iterdir():
                path.unlink()
        turns.append(spent)
    alone.close()
    python, written, unwritten, reading = (
        figures.median(column) / len(lake.ledgers) * 1e3 for column in zip(*turns[1:], strict=True)
    )
    figures.show("through Python, rows in a file", f"{python:.3f} ms a ledger")
    figures.show("Rust alone, rows in a file", f"{written:.3f} ms a ledger")
    figures.show("Rust alone, rows left in memory", f"{unwritten:.3f} ms a ledger")
    figures.share("through Python over Rust alone", [p / r for p, r, *_ in turns[1:]], TARGET)
    figures.show("  over Rust alone that leaves the rows in memory", f"{python / unwritten:.3f}")
    figures.show("besides: reading the objects from their folder", f"{reading:.3f} ms a ledger")


def through_python(worker: Worker, chunk: LedgerRange, reading: Reading, path: Path) -> float:
    """Carry out a task as a worker does and return its CPU seconds."""
    ready: Future[Reading] = Future()
    ready.set_result(reading)
    began = time.process_time()
    done = worker.work(Task(token=1, attempt=1, ledgers=chunk, path=os.fspath(path)), ready)
    spent = time.process_time() - began
    assert done.ledgers == chunk, done.failure
    return spent


def _reading(lake: inputs.Input, chunk: LedgerRange) -> float:
    """Read a chunk's objects, which the page cache has, and return the CPU seconds."""
    began = time.process_time()
    lake.found.lake.read(chunk)
    return time.process_time() - began


def _unheard(message: WorkerMessage) -> None:
    """Take what the worker says, in the place of a coordinator."""


if __name__ == "__main__":
    main()

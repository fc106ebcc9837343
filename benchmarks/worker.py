"""A worker's chunk through Python, objects in memory, against the same Rust pass without Python: CPU.

Both read the same objects, prove them and write the rows to a file in shared memory, in turns, chunk by chunk.
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
        spent = [0.0, 0.0, 0.0]
        for number, chunk in enumerate(chunks):
            spent[0] += _through_python(worker, chunk, readings[number], folder / "python")
            spent[1] += alone.one(number, folder / "rust").cpu_s
            spent[2] += alone.one(number).cpu_s
            for path in folder.iterdir():
                path.unlink()
        turns.append(spent)
    alone.close()
    python, written, unwritten = (
        figures.median(column) / len(lake.ledgers) * 1e3 for column in zip(*turns[1:], strict=True)
    )
    figures.show("through Python, rows in a file", f"{python:.3f} ms a ledger")
    figures.show("Rust alone, rows in a file", f"{written:.3f} ms a ledger")
    figures.show("Rust alone, rows left in memory", f"{unwritten:.3f} ms a ledger")
    figures.share("through Python over Rust alone", [p / r for p, r, _ in turns[1:]], TARGET)
    figures.show("  over Rust alone that leaves the rows in memory", f"{python / unwritten:.3f}")


def _through_python(worker: Worker, chunk: LedgerRange, reading: Reading, path: Path) -> float:
    """Carry out a task as a worker does and return its CPU seconds."""
    ready: Future[Reading] = Future()
    ready.set_result(reading)
    began = time.process_time()
    done = worker.work(Task(token=1, attempt=1, ledgers=chunk, path=os.fspath(path)), ready)
    spent = time.process_time() - began
    assert done.ledgers == chunk, done.failure
    return spent


def _unheard(message: WorkerMessage) -> None:
    """Take what the worker says, in the place of a coordinator."""


if __name__ == "__main__":
    main()

"""Committing a chunk against bare psycopg COPY of the same bytes into the same tables: time.

The chunks of a small lake, one after another over one connection; both sides take turns on an empty store. The bare
COPY is that of `ledgerfill bench`, one transaction a chunk as well. No side builds the costly indexes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import figures
import inputs

from pipeline.actions import ReadyChunk
from pipeline.bench import copying, layout
from pipeline.bench.decoding import Rows
from pipeline.bench.scratch import Scratch, scratch
from pipeline.plan import Gap
from pipeline.store import books
from pipeline.store.commit import Committer
from pipeline.store.connection import open_store
from workers._decode import Decoder
from workers.entry import Worker
from workers.messages import ChunkDone, LedgerRange, Task
from workers.sources import Reading

TARGET = 1.10
UNFINISHED = replace(layout.PRODUCT, finish=lambda *_: None)


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=256, rounds=9)
    with (
        inputs.lakes(given.ledgers, given.lakes) as lakes,
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        scratch(inputs.SCRATCH) as ground,
    ):
        for lake in lakes:
            _measure(lake, given.rounds, ground, Path(folder))


def _measure(lake: inputs.Input, rounds: int, ground: Scratch, folder: Path) -> None:
    done = _decoded(lake, folder)
    figures.title("commit: a chunk's commit over bare COPY of its bytes, time", lake.name, f"{len(done)} chunks")
    turns = []
    for _ in range(rounds + 1):  # the first warms caches and does not count
        committed = _committed(lake, ground, done)
        bare = copying.measure(ground, UNFINISHED, [_rows(each) for each in done], 1, "bare COPY").elapsed_s
        turns.append((committed, bare))
    committed, bare = (figures.median(column) / len(done) * 1e3 for column in zip(*turns[1:], strict=True))
    figures.show("Committer.commit", f"{committed:.1f} ms a chunk")
    figures.show("bare COPY", f"{bare:.1f} ms a chunk")
    figures.share("commit over bare COPY", [c / b for c, b in turns[1:]], TARGET)


def _decoded(lake: inputs.Input, folder: Path) -> list[ChunkDone]:
    """Decode the chunks of a lake one after another, each into a file of its own in `folder`."""
    worker = Worker(lake.found.lake, Decoder(lake.passphrase), lambda _: None)
    return [_worked(worker, lake, chunk, folder / f"{lake.name}-{chunk.first}") for chunk in lake.chunks()]


def _worked(worker: Worker, lake: inputs.Input, chunk: LedgerRange, path: Path) -> ChunkDone:
    reading: Future[Reading] = Future()
    reading.set_result(lake.found.lake.read(chunk))
    done = worker.work(Task(token=chunk.first, attempt=1, ledgers=chunk, path=str(path)), reading)
    assert done.ledgers == chunk, done.failure
    return done


def _committed(lake: inputs.Input, ground: Scratch, done: Sequence[ChunkDone]) -> float:
    """Commit the chunks as a run does, and return the seconds."""
    ground.renew()
    UNFINISHED.lay(ground.conn, lake.ledgers)
    run = books.new_run(ground.conn)
    books.start_run(ground.conn, run, lake.ledgers, source=str(lake.path), workers=1)
    with closing(Committer(lambda: open_store(ground.url), run)) as committer:
        began = time.monotonic()
        for each in done:
            committer.commit(_ready(lake, each))
        return time.monotonic() - began


def _ready(lake: inputs.Input, done: ChunkDone) -> ReadyChunk:
    assert done.ledgers is not None
    gap = Gap(ledgers=lake.ledgers)
    return ReadyChunk(
        ledgers=done.ledgers, chunk=done.ledgers, gap=gap, done=done, attempts=1, worker=1, previous=done.previous_hash
    )


def _rows(done: ChunkDone) -> Rows:
    assert done.ledgers is not None
    sections = [(part.table, part.rows, part.offset, part.length) for part in done.sections]
    return Rows(done.ledgers, Path(done.path), sections, done.plain_bytes)


if __name__ == "__main__":
    main()

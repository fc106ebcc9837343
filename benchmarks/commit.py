"""Committing a chunk against bare psycopg COPY of the same bytes into the same tables: time.

The chunks of a small lake, one after another; both sides take turns on an empty store. The bare COPY has its bytes in
memory and one transaction a chunk as well.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import figures
import inputs
import server

from pipeline.actions import ReadyChunk
from pipeline.plan import Gap
from pipeline.store import books, partitions
from pipeline.store.commit import Committer
from pipeline.store.connection import open_store
from workers._decode import Decoder
from workers.entry import Worker
from workers.messages import ChunkDone, Task
from workers.sources import Reading

TARGET = 1.10


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=256, rounds=9)
    with (
        inputs.lakes(given.ledgers, given.lakes) as lakes,
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        server.store() as store,
    ):
        for lake in lakes:
            _measure(lake, given.rounds, store, Path(folder))


def _measure(lake: inputs.Input, rounds: int, store: server.Store, folder: Path) -> None:
    done = decoded(lake, folder)
    ready = [_ready(lake, chunk) for chunk in done]
    rows = [rows_of(chunk) for chunk in done]
    run = books.new_run(store.conn)
    books.start_run(store.conn, run, lake.ledgers, source=str(lake.path), workers=1)
    partitions.ensure(store.conn, lake.ledgers)
    figures.title("commit: a chunk's commit over bare COPY of its bytes, time", lake.name, f"{len(done)} chunks")
    committer = Committer(lambda: open_store(store.url), run)
    turns = []
    for _ in range(rounds + 1):  # the first warms caches and does not count
        committed = _timed(store, lambda: [committer.commit(chunk) for chunk in ready])
        bare = _timed(store, lambda: [store.copy(chunk) for chunk in rows])
        turns.append((committed, bare))
    committer.close()
    committed, bare = (figures.median(column) / len(done) * 1e3 for column in zip(*turns[1:], strict=True))
    figures.show("Committer.commit", f"{committed:.1f} ms a chunk")
    figures.show("bare COPY", f"{bare:.1f} ms a chunk")
    figures.share("commit over bare COPY", [c / b for c, b in turns[1:]], TARGET)


def decoded(lake: inputs.Input, folder: Path) -> list[ChunkDone]:
    """Let a worker decode all chunks of a lake into files."""
    worker = Worker(lake.found.lake, Decoder(lake.passphrase), lambda _: None)
    done = []
    for chunk in lake.chunks():
        reading: Future[Reading] = Future()
        reading.set_result(lake.found.lake.read(chunk))
        task = Task(token=chunk.first, attempt=1, ledgers=chunk, path=str(folder / f"{lake.name}-{chunk.first}"))
        done.append(worker.work(task, reading))
        assert done[-1].ledgers == chunk, done[-1].failure
    return done


def rows_of(done: ChunkDone) -> server.Rows:
    """Read a chunk's rows into memory."""
    rows = Path(done.path).read_bytes()
    return [(part.table, rows[part.offset : part.offset + part.length]) for part in done.sections]


def _ready(lake: inputs.Input, done: ChunkDone) -> ReadyChunk:
    assert done.ledgers is not None
    gap = Gap(ledgers=lake.ledgers)
    return ReadyChunk(
        ledgers=done.ledgers, chunk=done.ledgers, gap=gap, done=done, attempts=1, worker=1, previous=done.previous_hash
    )


def _timed(store: server.Store, work: Callable[[], object]) -> float:
    store.empty()
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main()

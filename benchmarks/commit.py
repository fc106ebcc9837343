"""Committing a chunk against bare psycopg COPY of the same bytes into the same tables: time.

The chunks of a small lake, one after another; both sides take turns on an empty store. The bare COPY has its bytes in
memory and one transaction a chunk as well.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import chunks
import figures
import inputs
import server

from pipeline.actions import ReadyChunk
from pipeline.plan import Gap
from pipeline.store import books, partitions
from pipeline.store.commit import Committer
from pipeline.store.connection import open_store
from workers.messages import ChunkDone

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
    done = list(chunks.decoded(lake, folder))
    ready = [_ready(lake, chunk) for chunk in done]
    rows = [chunks.rows_of(chunk) for chunk in done]
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

"""Chunks as a worker leaves them: rows in files, for what is measured behind the workers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import inputs
import server

from workers._decode import Decoder
from workers.entry import Worker
from workers.messages import ChunkDone, Task
from workers.sources import Reading


def decoded(lake: inputs.Input, folder: Path) -> Iterator[ChunkDone]:
    """Decode the chunks of a lake one after another, each into a file of its own in `folder`."""
    worker = Worker(lake.found.lake, Decoder(lake.passphrase), lambda _: None)
    for chunk in lake.chunks():
        reading: Future[Reading] = Future()
        reading.set_result(lake.found.lake.read(chunk))
        task = Task(token=chunk.first, attempt=1, ledgers=chunk, path=str(folder / f"{lake.name}-{chunk.first}"))
        done = worker.work(task, reading)
        assert done.ledgers == chunk, done.failure
        yield done


def rows_of(done: ChunkDone) -> server.Rows:
    """Read a chunk's rows into memory."""
    rows = Path(done.path).read_bytes()
    return [(part.table, rows[part.offset : part.offset + part.length]) for part in done.sections]

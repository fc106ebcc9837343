"""The Rust pass alone: objects in memory to proved rows, by one thread and by several; and the rows, kept in files."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.bench.figures import Figure
from pipeline.bench.ledgers import Ledgers
from pipeline.errors import BackfillError
from workers._decode import Chunk, Decoder
from workers.messages import LedgerRange
from workers.sources import Reading

STAGES = ("decompress", "walk", "prove", "encode")
Held = Sequence[tuple[LedgerRange, Reading]]  # chunks, their objects in memory


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk's rows in a file, as a worker leaves them."""

    ledgers: LedgerRange
    path: Path
    sections: Sequence[tuple[str, int, int, int]]  # table, rows, offset and length in bytes
    plain_bytes: int


@dataclass(slots=True)
class _Spent:
    cpu_s: float = 0.0
    ledgers: int = 0
    rows: int = 0
    plain_bytes: int = 0
    nanoseconds: Counter[str] = field(default_factory=Counter)

    def add(self, done: Chunk) -> None:
        self.ledgers += done.ledgers
        self.rows += sum(rows for _, rows, _, _ in done.sections)
        self.plain_bytes += done.plain_bytes
        self.nanoseconds.update(done.nanoseconds)


def hold(ledgers: Ledgers, count: int) -> Held:
    """Read the objects of the first `count` ledgers into memory."""
    return [(chunk, ledgers.read(chunk)) for chunk in ledgers.first(count).chunks()]


def measure(passphrase: str, held: Held, threads: int, passes: int, name: str) -> Figure:
    """Pass over the chunks, each thread `passes` times in the mean; no row is kept."""
    todo = deque(held[place % len(held)] for place in range(len(held) * threads * passes))
    nowhere = os.open(os.devnull, os.O_WRONLY)  # rows are written as COPY takes them, and cost no memory
    try:
        decoders = [Decoder(passphrase) for _ in range(threads)]
        for decoder in decoders:
            _decode(decoder, *held[0], nowhere)  # fills its buffers
        began = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            spent = list(pool.map(lambda decoder: _work(decoder, todo, nowhere), decoders))
        elapsed = time.monotonic() - began
    finally:
        os.close(nowhere)
    return Figure(
        name=name,
        ledgers=sum(each.ledgers for each in spent),
        elapsed_s=elapsed,
        rows=sum(each.rows for each in spent),
        plain_bytes=sum(each.plain_bytes for each in spent),
        cpu_s=_by_stage(spent),
    )


def rows(ledgers: Ledgers, count: int, folder: Path) -> Iterator[Rows]:
    """Decode the first `count` ledgers, each chunk into a file of its own."""
    decoder = Decoder(ledgers.passphrase)
    for chunk in ledgers.first(count).chunks():
        path = folder / f"{chunk.first}"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            done = _decode(decoder, chunk, ledgers.read(chunk), fd)
        except OSError as error:
            raise BackfillError(f"no room for the rows of ledgers {chunk} at {path}: {error.strerror}") from error
        finally:
            os.close(fd)
        yield Rows(chunk, path, done.sections, done.plain_bytes)


def _work(decoder: Decoder, todo: deque[tuple[LedgerRange, Reading]], fd: int) -> _Spent:
    """Take chunks until there are none; the CPU is this thread's own."""
    spent, began = _Spent(), time.thread_time()
    while todo:
        try:
            chunk, reading = todo.popleft()
        except IndexError:  # another thread took the last
            break
        spent.add(_decode(decoder, chunk, reading, fd))
    spent.cpu_s = time.thread_time() - began
    return spent


def _decode(decoder: Decoder, chunk: LedgerRange, reading: Reading, fd: int) -> Chunk:
    done = decoder.chunk(chunk.first, chunk.last, reading.objects, fd)
    if done.error is not None:
        raise BackfillError(str(done.error))
    return done


def _by_stage(spent: Sequence[_Spent]) -> dict[str, float]:
    """Share the CPU out over the stages, which were timed by the clock on the wall."""
    cpu_s, wall = sum(each.cpu_s for each in spent), Counter[str]()
    for each in spent:
        wall.update(each.nanoseconds)
    scale = min(1e-9, cpu_s / (sum(wall.values()) or 1))
    stages = {stage: wall[stage] * scale for stage in STAGES}
    return stages | {"rest": max(0.0, cpu_s - sum(stages.values()))}

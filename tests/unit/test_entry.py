"""A worker's outermost door: whatever goes wrong inside comes out as a message."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from workers._decode import Decoder
from workers.entry import Worker
from workers.messages import ChunkDone, Failure, LedgerRange, Task
from workers.sources import Reading, Unopened


def answer(path: Path, reading: Future[Reading]) -> ChunkDone:
    """Have a worker carry out one task whose objects are those of `reading`."""
    worker = Worker(Unopened(Failure(reason="not asked", transient=False)), Decoder("a network"), print)
    return worker.work(Task(token=5, attempt=1, ledgers=LedgerRange(10, 12), path=str(path)), reading)


class RustPanicked(BaseException):
    """Derives as `PanicException` does."""


@pytest.mark.parametrize(
    ("error", "words", "transient"),
    [
        (RuntimeError("odd"), "unexpected RuntimeError at source: odd", False),
        (RustPanicked("index out of range"), "unexpected RustPanicked at source: index out of range", False),
        (MemoryError(), "MemoryError", True),
    ],
)
def test_what_breaks_inside_becomes_a_failure(
    error: BaseException, words: str, transient: bool, tmp_path: Path
) -> None:
    """An error that nobody foresaw, even a panic of the Rust core, ends the attempt and not the worker."""
    reading: Future[Reading] = Future()
    reading.set_exception(error)
    done = answer(tmp_path / "5", reading)
    assert (done.token, done.ledgers) == (5, None)
    assert done.failure is not None
    assert words in done.failure.reason
    assert (done.failure.transient, done.failure.ledger) == (transient, 10)


def test_rows_without_a_folder_end_the_attempt(tmp_path: Path) -> None:
    """A file for rows that cannot be made is told with its name, and is no hole in the source."""
    reading: Future[Reading] = Future()
    reading.set_result(Reading([("KEY", 10, 10, b"")], 0))
    done = answer(tmp_path / "absent" / "5", reading)
    assert done.failure is not None
    assert done.failure.reason.startswith(f"cannot write rows to {tmp_path / 'absent' / '5'}: No such file")
    assert (done.failure.transient, done.failure.missing) == (False, False)


def test_damage_stands_before_what_could_not_be_read(tmp_path: Path) -> None:
    """Of two failures in one chunk, the one of the lower ledger is told."""
    reading: Future[Reading] = Future()
    hole = Failure(reason="a hole", transient=True, missing=True, ledger=11)
    reading.set_result(Reading([("KEY", 10, 10, b"no zstd")], 7, hole))
    done = answer(tmp_path / "5", reading)
    assert done.failure is not None
    assert (done.failure.ledger, done.failure.object, done.failure.transient) == (10, "KEY", False)
    assert done.object_bytes == 7
    assert not (tmp_path / "5").exists()

"""A worker's outermost door: whatever goes wrong inside comes out as a message."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
import zstandard

from workers._decode import Decoder, make_lake
from workers.entry import Worker
from workers.messages import TABLES, ChunkDone, Failure, LedgerRange, Task
from workers.sources import Reading, Unopened

SYNTHETIC = "ledgerfill synthetic network ; 2026"


def answer(path: Path, reading: Future[Reading], network: str = "a network") -> ChunkDone:
    """Have a worker carry out one task whose objects are those of `reading`."""
    worker = Worker(Unopened(Failure(reason="not asked", transient=False)), Decoder(network), print)
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


@pytest.mark.parametrize(("damaged", "sound"), [(15, 12), (12, 11), (8, None)], ids=["behind", "inside", "before"])
def test_damage_behind_a_chunk_is_not_its_own(damaged: int, sound: int | None, tmp_path: Path) -> None:
    """An object may hold more than is wanted: what is wrong behind the last ledger wanted ends another chunk."""
    make_lake(str(tmp_path / "lake"), ledgers=8, first=8, shape="sparse", ledgers_per_object=8)
    (path,) = (tmp_path / "lake").rglob("*.zst")
    reading: Future[Reading] = Future()
    reading.set_result(Reading([("KEY", 8, 15, damage(path.read_bytes(), damaged))], 1))
    done = answer(tmp_path / "5", reading, SYNTHETIC)
    assert done.ledgers == (LedgerRange(10, sound) if sound else None)
    assert (done.failure is None) == (damaged == 15)
    assert done.failure is None or (done.failure.ledger, done.failure.transient) == (damaged, False)


def test_proving_writes_no_file_and_finds_the_same(tmp_path: Path) -> None:
    """A worker that makes no rows answers as one that does, hash for hash, and its path stays free."""
    make_lake(str(tmp_path / "lake"), ledgers=3, first=10, shape="sparse")
    objects = [
        (path.name, 10, 12, path.read_bytes()) for path in sorted((tmp_path / "lake").rglob("*.zst"), reverse=True)
    ]
    objects = [(name, ledger, ledger, data) for ledger, (name, _, _, data) in zip(range(10, 13), objects, strict=True)]
    source, answers = Unopened(Failure(reason="not asked", transient=False)), []
    for tables in (TABLES, ()):
        reading: Future[Reading] = Future()
        reading.set_result(Reading(objects, 5))
        path = tmp_path / f"{len(tables)} tables"
        worker = Worker(source, Decoder(SYNTHETIC, tables=tables), print)
        answers.append(worker.work(Task(token=5, attempt=1, ledgers=LedgerRange(10, 12), path=str(path)), reading))
        assert path.exists() == bool(tables)
    written, proved = answers
    assert (proved.ledgers, proved.failure, proved.sections, proved.row_bytes) == (LedgerRange(10, 12), None, (), 0)
    assert written.row_bytes > 0
    for name in ("previous_hash", "first_hash", "last_hash", "plain_bytes", "first_object", "last_object"):
        assert getattr(proved, name) == getattr(written, name), name
    assert proved.timings.prove_s > 0
    assert (proved.timings.encode_s, proved.timings.write_s) == (0, 0)


def test_rows_are_written_over_older_ones(tmp_path: Path) -> None:
    """A file that holds more than a chunk's rows holds these alone afterwards, byte for byte."""
    make_lake(str(tmp_path / "lake"), ledgers=8, first=8, shape="sparse", ledgers_per_object=8)
    (path,) = (tmp_path / "lake").rglob("*.zst")
    fresh, used = tmp_path / "fresh", tmp_path / "used"
    used.write_bytes(b"\xff" * 1_000_000)
    for rows in (fresh, used):
        reading: Future[Reading] = Future()
        reading.set_result(Reading([("KEY", 8, 15, path.read_bytes())], 1))
        done = answer(rows, reading, SYNTHETIC)
        assert rows.stat().st_size == done.row_bytes > 0
    assert used.read_bytes() == fresh.read_bytes()


def damage(stored: bytes, ledger: int) -> bytes:
    """Change the hash that an object gives for one ledger; the ledger behind it names the true one."""
    plain = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(stored))
    found = Decoder(SYNTHETIC, tables=()).chunk(ledger, ledger, [("KEY", 8, 15, stored)], -1)
    plain[plain.index(found.last_hash)] ^= 1
    return zstandard.compress(bytes(plain))

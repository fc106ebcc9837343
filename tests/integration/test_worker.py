"""What a real worker process answers to its tasks."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from faulty_s3 import FaultyS3
from pooling import FIRST, LAST, config, done_in, hear, key_of, task, until

from workers.messages import TABLES, ChunkDone, ChunkStarted, LedgerRange, Ready, WorkerConfig
from workers.pool import Pool


def test_a_chunk_comes_back_as_rows_in_a_file(pubnet: WorkerConfig, tmp_path: Path) -> None:
    """A worker says that it is ready, that it has begun, and where the rows of all four tables lie."""
    with Pool(pubnet) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1))
        heard = hear(pool, until(ChunkDone))
    assert [type(message) for _, message in heard] == [Ready, ChunkStarted, ChunkDone]
    done = done_in(heard)[0]
    assert (done.token, done.ledgers, done.failure) == (1, LedgerRange(FIRST, LAST), None)
    assert tuple(section.table for section in done.sections) == TABLES
    assert done.row_bytes == Path(done.path).stat().st_size
    assert done.sections[0].rows == len(done.ledgers)
    assert [len(done.previous_hash), len(done.first_hash), len(done.last_hash)] == [32, 32, 32]
    assert 0 < done.object_bytes < done.plain_bytes
    assert done.peak_rss > 1 << 20
    assert done.timings.cpu_s > 0
    assert 0 < done.timings.walk_s <= done.timings.elapsed_s


def test_tasks_are_answered_in_their_order(pubnet: WorkerConfig, tmp_path: Path) -> None:
    """Two tasks given at once are answered one after the other, each begun before it is done."""
    with Pool(pubnet) as pool:
        pool.start(0)
        for token in (1, 2):
            pool.send(0, task(tmp_path, token))
        heard = hear(pool, until(ChunkDone, 2))
    told = [(type(message), message.token) for _, message in heard if isinstance(message, ChunkStarted | ChunkDone)]
    assert told == [(ChunkStarted, 1), (ChunkDone, 1), (ChunkStarted, 2), (ChunkDone, 2)]


def test_next_chunk_is_fetched_while_this_one_waits(faulty_pubnet: FaultyS3, tmp_path: Path) -> None:
    """A worker reads ahead: the objects of its next task are asked for before this one is done."""
    slow, ahead = key_of(FIRST), key_of(LAST)
    faulty_pubnet.faults[slow] = ["hang"]
    with Pool(config("s3://lake")) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1, FIRST, FIRST))
        pool.send(0, task(tmp_path, 2, LAST, LAST))
        heard = hear(pool, lambda heard: bool(done_in(heard)) or ("GET", ahead) in faulty_pubnet.requests)
        assert not done_in(heard)
        assert len(done_in(hear(pool, until(ChunkDone, 2)))) == 2


def test_hole_is_reported_behind_the_sound_first_part(pubnet: WorkerConfig, tmp_path: Path) -> None:
    """Where an object is missing, the ledgers before it come as rows, with the failure that names it."""
    with Pool(pubnet) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1, LAST - 2, LAST + 3))
        pool.send(0, task(tmp_path, 2, LAST + 1, LAST + 3))
        part, nothing = done_in(hear(pool, until(ChunkDone, 2)))
    assert part.ledgers == LedgerRange(LAST - 2, LAST)
    assert part.sections[0].rows == 3
    assert nothing.ledgers is None
    assert (nothing.path, nothing.sections) == ("", ())
    for done in (part, nothing):
        assert done.failure is not None
        assert done.failure.missing
        assert done.failure.ledger == LAST + 1
        assert key_of(LAST + 1) in done.failure.reason


def test_lost_network_gives_no_part_of_a_chunk(faulty_pubnet: FaultyS3, tmp_path: Path) -> None:
    """A transient failure is the whole chunk's: it is tried again as one, so nothing is decoded of it."""
    faulty_pubnet.faults[key_of(LAST)] = [503] * 9
    with Pool(config("s3://lake", attempts=2)) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1, FIRST, LAST))
        (done,) = done_in(hear(pool, until(ChunkDone)))
    assert done.ledgers is None
    assert done.failure is not None
    assert (done.failure.transient, done.failure.missing, done.failure.ledger) == (True, False, LAST)
    assert not (tmp_path / "1").exists()


def test_full_disk_is_told_and_leaves_no_file(pubnet: WorkerConfig, tmp_path: Path) -> None:
    """Rows that find no room end the attempt for good, in clear words, and free what they had taken."""
    (tmp_path / "1").symlink_to("/dev/full")
    with Pool(pubnet) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1))
        (done,) = done_in(hear(pool, until(ChunkDone)))
    assert done.ledgers is None
    assert done.failure is not None
    assert not done.failure.transient
    assert done.failure.reason.startswith(f"no space left for the rows at {tmp_path / '1'}")
    assert not (tmp_path / "1").is_symlink()


def test_source_that_cannot_be_opened_is_a_failure(tmp_path: Path) -> None:
    """A worker whose source is gone stays alive and answers with the reason."""
    with Pool(config(str(tmp_path / "absent"))) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1))
        (done,) = done_in(hear(pool, until(ChunkDone)))
    assert done.failure is not None
    assert done.failure.reason == f"no folder {tmp_path / 'absent'}"
    assert done.failure.ledger == FIRST


def test_log_records_arrive_as_they_were_made(
    faulty_pubnet: FaultyS3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a worker logs reaches the coordinator's handlers, with its logger, level, worker and text."""
    faulty_pubnet.faults[key_of(FIRST)] = [503]
    with caplog.at_level(logging.INFO, logger="workers"), Pool(config("s3://lake")) as pool:
        pool.start(3)
        pool.send(3, task(tmp_path, 1, FIRST, FIRST))
        hear(pool, until(ChunkDone))
    (record,) = [record for record in caplog.records if record.name == "workers.sources.bucket"]
    assert (record.levelname, record.processName) == ("INFO", "worker-3")
    assert "try 1 failed: cannot read object" in record.getMessage()


def test_records_below_the_level_stay_where_they_are(
    faulty_pubnet: FaultyS3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker sends nothing that the coordinator would drop."""
    faulty_pubnet.faults[key_of(FIRST)] = [503]
    with caplog.at_level(logging.WARNING), Pool(config("s3://lake")) as pool:
        pool.start(3)
        pool.send(3, task(tmp_path, 1, FIRST, FIRST))
        hear(pool, until(ChunkDone))
    assert [record for record in caplog.records if record.name.startswith("workers")] == []

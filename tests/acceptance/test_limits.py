"""Each stage of a run is starved in turn, and the run says which it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from lakes import key, mend
from program import Program, Running, job, make_lake

from pipeline.store import version

FIRST, LAST = 2, 401
SLOW = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END'"
ON_COMMIT = "CREATE TRIGGER slow BEFORE INSERT ON ledgerfill.backfill_chunks FOR EACH ROW EXECUTE FUNCTION slow()"
FILE_SERVER = Path(__file__).parents[2] / "benchmarks" / "file_server.py"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that is quickly filled where nothing holds it up."""
    return make_lake(tmp_path_factory.mktemp("long") / "lake", LAST - FIRST + 1, "--shape", "sparse")


def limit(report: Path) -> str:
    """Return what the run says it has waited for."""
    said: str = json.loads(report.read_text())["limit"]
    return said


def test_a_slow_database_is_the_limit(ledgerfill: Program, lake: Path, tmp_path: Path) -> None:
    """Every commit takes a tenth of a second more."""
    with psycopg.connect(ledgerfill.database, autocommit=True) as conn:
        version.bring_up_to_date(conn)
        conn.execute(SLOW)
        conn.execute(ON_COMMIT)
    flags = ("--chunk-ledgers", 10, "--connections", 2, "--report", tmp_path / "report.json")
    ended = ledgerfill("backfill", *job(lake, FIRST, LAST), *flags)
    assert ended.returncode == 0, ended.stderr
    assert limit(tmp_path / "report.json").startswith("the database was the limit: something was being committed ")
    assert "  limit      the database was the limit" in ended.stdout + ended.stderr


@contextmanager
def late_files(folder: Path, delay_ms: int) -> Iterator[int]:
    """Serve a folder whose every file comes late; gives the port."""
    command = [sys.executable, FILE_SERVER, folder, "--delay-ms", str(delay_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()  # closes its standard input, which ends it


def test_a_slow_source_is_the_limit(ledgerfill: Program, lake: Path, tmp_path: Path) -> None:
    """Every object comes 50 ms late, one at a time."""
    with late_files(lake.parent, 50) as port:
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_REGION": "us-east-1",
        }
        flags = ("--workers", 2, "--fetch-concurrency", 1, "--chunk-ledgers", 4, "--report", tmp_path / "report.json")
        ended = ledgerfill("backfill", *job(f"s3://{lake.name}", FIRST, 101), *flags, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert limit(tmp_path / "report.json").startswith("the source was the limit: workers waited for its bytes ")


def test_slow_workers_are_the_limit(ledgerfill: Program, tmp_path: Path) -> None:
    """The only worker stands still nine tenths of the time, over ledgers that take longer to decode than to read."""
    full = make_lake(tmp_path / "full", 100)
    flags = ("--workers", 1, "--chunk-ledgers", 4, "--report", tmp_path / "report.json")
    with slowed(ledgerfill.start("backfill", *job(full, FIRST, 101), *flags)) as running:
        ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert limit(tmp_path / "report.json").startswith("the workers were the limit: nothing was there to commit ")


@contextmanager
def slowed(running: Running) -> Iterator[Running]:
    """Have the workers of a run work a tenth of the time."""
    over = threading.Event()

    def tell(number: int) -> None:
        for worker in running.workers():
            try:
                os.kill(worker, number)
            except ProcessLookupError:
                continue

    def slow() -> None:
        while not over.is_set():
            tell(signal.SIGSTOP)
            time.sleep(0.09)
            tell(signal.SIGCONT)
            time.sleep(0.01)

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        yield running
    finally:
        over.set()
        thread.join()


def test_a_late_chunk_is_the_limit(
    ledgerfill: Program, core_lake: Path, shared: Path, tmp_path: Path, in_a_while: Callable[..., None]
) -> None:
    """One object is not there for some seconds, and everything behind it is."""
    (core_lake / key(10)).unlink()
    in_a_while(5.0, mend, core_lake, shared, 10)
    flags = ("--workers", 2, "--chunk-ledgers", 4, "--report", tmp_path / "report.json")
    ended = ledgerfill("backfill", *job(core_lake, 2, 45), *flags)
    assert ended.returncode == 0, ended.stderr
    said = limit(tmp_path / "report.json")
    assert said.startswith("late chunks were the limit: results waited for one ")
    assert ", the longest for ledgers 10-13 on worker " in said


@pytest.fixture
def in_a_while() -> Iterator[Callable[..., None]]:
    """Call something after some seconds, and wait for that at the end."""
    timers: list[threading.Timer] = []

    def later(seconds: float, what: Callable[..., object], *given: object) -> None:
        timers.append(threading.Timer(seconds, what, given))
        timers[-1].start()

    yield later
    for timer in timers:
        timer.join()

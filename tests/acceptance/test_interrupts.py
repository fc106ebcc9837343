"""Runs that are interrupted, that meet another, that hang."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import psycopg
import pytest
from lakes import CORE, FIRST, LAST, key, mend
from program import Program, job, wait_for, wait_for_none
from stores import check, execute, held, sessions, waiting_at_hole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_run_with_its_prefix(
    ledgerfill: Program, core_lake: Path, shared: Path, hole: int, number: signal.Signals
) -> None:
    """A signal ends the run within moments: what is in order is there, nothing is left, and the rest is resumed."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    sent = time.monotonic()
    running.send(number)
    ended = running.result()
    assert ended.returncode == 128 + number
    assert time.monotonic() - sent < 5
    assert "interrupted" in ended.stdout
    assert "resume" in ended.stdout
    wait_for_none(lambda: sessions(ledgerfill.database))
    assert held(ledgerfill.database) == [(FIRST, hole - 1)]
    check(shared, ledgerfill.database, FIRST, hole - 1, "--file", CORE)
    mend(core_lake, shared, hole)
    ended = ledgerfill.backfill(core_lake, FIRST, LAST, "--chunk-ledgers", 4, "--workers", 2)
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay_s", [0, 0.1, 0.3, 0.6])
def test_signal_while_it_starts_is_heeded(
    ledgerfill: Program, core_lake: Path, number: signal.Signals, delay_s: float
) -> None:
    """Whenever a signal comes, the run ends with its code or was done before: nothing is left, no traceback shown."""
    running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 1)
    wait_for(running.listens)  # before, it is Python's own start that is interrupted
    time.sleep(delay_s)
    running.send(number)
    ended = running.result()
    assert ended.returncode in (0, 128 + number), ended.stderr
    assert "unexpected" not in ended.stderr
    wait_for_none(lambda: sessions(ledgerfill.database))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_every_process_is_one_interrupt(
    ledgerfill: Program, core_lake: Path, hole: int, number: signal.Signals
) -> None:
    """Ctrl-C reaches the workers too, and a service manager stops all at once: the run ends as if it alone was told."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    running.send_to_all(number)
    ended = running.result()
    assert ended.returncode == 128 + number, ended.stderr
    assert "unexpected" not in ended.stderr
    assert held(ledgerfill.database) == [(FIRST, hole - 1)]


def test_second_signal_ends_at_once(ledgerfill: Program, core_lake: Path, hole: int) -> None:
    """Who presses Ctrl-C again, and again, gets the same end and no traceback."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    for _ in range(5):
        if not running.ended():
            running.send_to_all(signal.SIGINT)
            time.sleep(0.02)
    ended = running.result()
    assert ended.returncode == 130, ended.stderr
    wait_for_none(lambda: sessions(ledgerfill.database))


@pytest.mark.slow
def test_second_signal_ends_a_commit_that_waits(ledgerfill: Program, core_lake: Path, shared: Path, hole: int) -> None:
    """A commit behind somebody's lock is waited for after one Ctrl-C, and given up at the second; nothing is lost."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    with psycopg.connect(ledgerfill.database) as conn:
        conn.execute("LOCK TABLE ledgerfill.ledger_stretches IN ACCESS EXCLUSIVE MODE")
        mend(core_lake, shared, hole)
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_for(lambda: conn.execute(waits).fetchone() != (0,))
        running.send(signal.SIGINT)
        time.sleep(1)
        assert not running.ended()
        running.send(signal.SIGINT)
        assert running.process.wait(30) == 130
    running.result()
    wait_for_none(lambda: sessions(ledgerfill.database))
    assert ledgerfill.backfill(core_lake, FIRST, LAST).returncode == 0
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_interrupted_run_waits_for_no_slow_database(ledgerfill: Program, core_lake: Path, hole: int) -> None:
    """Where the database takes a minute to write down how it ended, the run is over in seconds, and says so."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    execute(
        ledgerfill.database,
        """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
        CREATE TRIGGER slow BEFORE UPDATE ON backfill_runs FOR EACH ROW EXECUTE FUNCTION slow()""",
    )
    sent = time.monotonic()
    running.send(signal.SIGINT)
    ended = running.result()
    assert ended.returncode == 130
    assert time.monotonic() - sent < 20
    assert "how the run ended could not be written down: canceling statement due to statement timeout" in ended.stderr
    assert held(ledgerfill.database) == [(FIRST, hole - 1)]


def test_printed_command_resumes(ledgerfill: Program, core_lake: Path, shared: Path, hole: int) -> None:
    """The report of a failed run has the command that goes on, word for word."""
    ended, report = ledgerfill.report("backfill", *job(core_lake, FIRST, LAST), "--hole-deadline", "0.5")
    assert ended.returncode == 1
    assert report["resume"] in ended.stdout
    assert ledgerfill.database.split(":")[2].split("@")[0] not in ended.stdout + ended.stderr + json.dumps(report)
    mend(core_lake, shared, hole)
    again = ledgerfill.shell(report["resume"])
    assert again.returncode == 0, again.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_second_run_at_once_is_told_who_has_the_store(
    ledgerfill: Program, core_lake: Path, shared: Path, hole: int
) -> None:
    """A run that finds another one ends with 3 within seconds, and names its process, host, number and start."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    began = time.monotonic()
    ended = ledgerfill("backfill", *job(core_lake, FIRST, LAST), env={"LEDGERFILL_HOME": f"{ledgerfill.home}-2"})
    assert time.monotonic() - began < 10
    assert ended.returncode == 3
    assert re.search(
        rf"process {running.pid} on {re.escape(os.uname().nodename)}, run \d+, since \d{{4}}-\d\d-\d\d", ended.stderr
    ), ended.stderr
    mend(core_lake, shared, hole)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_several_started_at_once_make_one_store(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """Of several starts at the same moment on an empty database one fills it; the others are told, or find it done."""
    started = [ledgerfill.start("backfill", *job(core_lake, FIRST, LAST)) for _ in range(4)]
    codes = sorted(running.result().returncode for running in started)
    assert codes[0] == 0
    assert {*codes} <= {0, 3}, codes
    assert held(ledgerfill.database) == [(FIRST, LAST)]
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


@pytest.mark.slow
def test_hung_worker_is_replaced(ledgerfill: Program, core_lake: Path, shared: Path, hole: int) -> None:
    """A worker that does nothing any more is killed at the deadline, and its chunk given to another."""
    deadlines = ["--stall-floor", 1, "--stall-ceiling", 3, "--fetch-timeout", 2]
    running = ledgerfill.start(
        "backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 4, "--workers", 2, *deadlines
    )
    wait_for(lambda: held(ledgerfill.database) == [(FIRST, hole - 1)] or running.ended())
    for worker in running.workers():
        os.kill(worker, signal.SIGSTOP)
    mend(core_lake, shared, hole)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert "re-dispatch" in ended.stderr
    assert "no result after" in ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def wait_until_stuck(worker: int) -> None:
    """Wait until a worker opens the pipe that nobody writes to; a kernel that does not say so gets three seconds."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # a thread has ended meanwhile
            if any("wait_for_partner" in path.read_text() for path in Path(f"/proc/{worker}/task").glob("*/wchan")):
                return
        time.sleep(0.01)


@pytest.mark.slow
def test_chunk_that_workers_die_of_is_poison(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """Three deaths halve the chunk; three at the ledger that is left end the run, with everything before it there."""
    (core_lake / key(30)).unlink()
    os.mkfifo(core_lake / key(30))  # who opens it stays there until killed
    running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 4, "--workers", 1)
    wait_for(lambda: held(ledgerfill.database) == [(FIRST, 29)])
    killed: set[int] = set()
    for _ in range(3 + 1 + 3):  # of 30-33, of its half 30-31, and of the ledger that is left
        (worker,) = wait_for(lambda: {*running.workers()} - killed)
        wait_until_stuck(worker)
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)
    ended = running.result()
    assert ended.returncode == 1
    assert "gave up on ledger 30 at attempt 3" in ended.stderr
    assert (
        f"poison, 3 workers died of it, the last: worker died: killed by SIGKILL (out of memory?) ({key(30)})"
        in ended.stderr
    )
    assert held(ledgerfill.database) == [(FIRST, 29)]
    check(shared, ledgerfill.database, FIRST, 29, "--file", CORE)

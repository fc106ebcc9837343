"""One run a store: who holds it is named at once, and a holder that is gone is waited for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from pipeline.errors import RunHeld
from pipeline.store import books, locks, processes
from pipeline.store.keeper import Keeper

HOLD = """
import sys, psycopg
from pipeline.store import books, locks
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    run = books.new_run(conn)
    with locks.hold(conn, run):
        print(run.id, conn.info.backend_pid, flush=True)
        sys.stdin.read()
"""
Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def holding(store: str) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Start another process that holds the store; return it, its run and its server process."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        run, backend = map(int, process.stdout.readline().split())
        yield process, run, backend
        process.kill()


def test_live_holder_is_named_within_a_second(connect: Connect, holding):
    """A second run is refused within a second, naming process, host, run and since when; exit code 3."""
    process, run, _ = holding
    conn = connect()
    start = time.monotonic()
    with pytest.raises(RunHeld) as caught, locks.hold(conn, books.new_run(conn)):
        pytest.fail("two runs hold the store")
    assert time.monotonic() - start < 1
    since = conn.execute("SELECT since FROM ledgerfill.lock_holders").fetchone()[0]
    named = f"process {process.pid} on {socket.gethostname()}, run {run}, since {since:%Y-%m-%d %H:%M:%S}"
    assert str(caught.value).startswith(f"the store is held by {named}")
    assert f": `kill -INT {process.pid}` there ends it" in str(caught.value)
    assert caught.value.exit_code == 3


def test_lock_is_given_back(connect: Connect):
    """The lock is free after its holder's end, and nobody is named any more."""
    one, other = connect(), connect()
    with locks.hold(one, books.new_run(one)):
        assert locks.holder(other).process_id == os.getpid()
    assert locks.holder(other) is None
    with locks.hold(other, books.new_run(other)):
        pass


def test_killed_holder_leaves_the_lock(connect: Connect, holding):
    """A run starts without a word after the one before it was killed."""
    process, *_ = holding
    process.kill()
    process.wait()
    conn = connect()
    with locks.hold(conn, books.new_run(conn)):
        assert locks.holder(conn).process_id == os.getpid()


@pytest.fixture
def orphan(connect: Connect) -> Iterator[psycopg.Connection]:
    """Hold the lock in the name of a process that is gone, as a server process that has not noticed yet."""
    conn = connect()
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    with locks.hold(conn, replace(books.new_run(conn), process_id=gone.pid)):
        yield conn


def test_holder_that_is_gone_is_waited_for(connect: Connect, orphan: psycopg.Connection):
    """A lock whose holder's process is gone is taken as soon as the server lets it go."""
    conn = connect()
    timer = threading.Timer(1.0, orphan.close)
    timer.start()
    start = time.monotonic()
    with locks.hold(conn, books.new_run(conn)):
        assert 0.8 < time.monotonic() - start < 5
    timer.join()


def test_holder_that_is_gone_is_not_waited_for_ever(connect: Connect, orphan: psycopg.Connection):
    """A lock that stays although its holder is gone is refused after the time allowed, saying so."""
    conn = connect()
    with (
        pytest.raises(RunHeld, match=r"is held by process \d+ on .*, run \d+, since .*, whose process is gone"),
        locks.hold(conn, books.new_run(conn), gone_s=0.5),
    ):
        pytest.fail("the lock is not free")
    assert not orphan.closed


def test_holder_on_another_host_counts_as_live(connect: Connect):
    """Nothing is known of a process of another host: it is not waited for."""
    one, other = connect(), connect()
    far = replace(books.new_run(one), host="elsewhere", process_id=2**22 + 1)
    with (
        locks.hold(one, far),
        pytest.raises(RunHeld, match="on elsewhere, run"),
        locks.hold(other, books.new_run(other)),
    ):
        pytest.fail("two runs hold the store")


def test_holder_that_never_signs_is_named_by_its_session(connect: Connect):
    """A lock that some session took without signing is refused within a second, naming that session."""
    one, other = connect(), connect()
    one.execute("SELECT pg_advisory_lock(hashtextextended('ledgerfill base tables', 0))")
    start = time.monotonic()
    with (
        pytest.raises(RunHeld, match=f"a session of the server .process {one.info.backend_pid} there"),
        locks.hold(other, books.new_run(other)),
    ):
        pytest.fail("two runs hold the store")
    assert time.monotonic() - start < 1


def test_number_of_a_process_used_again_is_told_apart():
    """A process lives only if the one with its number started when it did."""
    mine = processes.started(os.getpid())
    assert mine
    assert processes.lives(os.getpid(), mine)
    assert not processes.lives(os.getpid(), mine + "0")


def test_zombie_does_not_live():
    """A killed process that nobody has waited for is gone."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        began = processes.started(process.pid)
        process.kill()
        deadline = time.monotonic() + 10
        while processes.lives(process.pid, began) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not processes.lives(process.pid, began)
        assert process.returncode is None


def test_lock_outlives_its_session(connect: Connect, store: str):
    """Where the server ends the session that holds a run's lock, it is held again for that run in a moment."""
    conn = connect()
    run = books.new_run(conn)
    with closing(Keeper(partial(psycopg.connect, store, autocommit=True), run)):
        before = locks.holder(conn)
        conn.execute("SELECT pg_terminate_backend(%s)", [before.backend_id])
        deadline = time.monotonic() + 10
        while (now := locks.holder(conn)) is None or now.backend_id == before.backend_id or now.since is None:
            assert time.monotonic() < deadline, f"the lock is held by {now}"
            time.sleep(0.02)
        assert (now.run_id, now.process_id) == (run.id, os.getpid())
        with pytest.raises(RunHeld), locks.hold(conn, books.new_run(conn)):
            pytest.fail("two runs hold the store")
    assert locks.holder(conn) is None


def test_lock_that_another_run_has_taken_meanwhile_is_left_to_it(
    connect: Connect, store: str, caplog: pytest.LogCaptureFixture
):
    """A run whose lock went to another one while it had no session says who has it, and ends as ever."""
    conn, other = connect(), connect()
    run, later = books.new_run(conn), books.new_run(conn)
    away, back = threading.Event(), threading.Event()

    def reconnect() -> psycopg.Connection:
        if away.is_set():
            back.wait()
        return psycopg.connect(store, autocommit=True)

    with closing(Keeper(reconnect, run)):
        away.set()
        conn.execute("SELECT pg_terminate_backend(%s)", [locks.holder(conn).backend_id])
        while locks.holder(conn):
            time.sleep(0.02)
        with locks.hold(other, replace(later, process_id=os.getppid())):
            back.set()
            deadline = time.monotonic() + 10
            while f"run {later.id}" not in caplog.text:
                assert time.monotonic() < deadline, caplog.text
                time.sleep(0.02)
            assert locks.holder(conn).run_id == later.id

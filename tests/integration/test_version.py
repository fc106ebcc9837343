"""The store's version: which steps run, in which order, and what is refused. The transitions here are made up."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from pipeline.errors import Refused
from pipeline.store import version
from pipeline.store.version import Step, bring_up_to_date, current


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


def begin(conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE ledgerfill.ran (step int)")
    conn.execute("INSERT INTO ledgerfill.ran VALUES (1)")


def writes(number: int) -> Callable[[psycopg.Connection], None]:
    def write(conn: psycopg.Connection) -> None:
        conn.execute("INSERT INTO ledgerfill.ran VALUES (%s)", [number])

    return write


FIRST = Step(to=1, title="begin", apply=begin)
THREE = (FIRST, *(Step(to=number, title=f"step {number}", apply=writes(number)) for number in (2, 3)))


def ran(conn: psycopg.Connection) -> list[int]:
    return [number for (number,) in conn.execute("SELECT step FROM ledgerfill.ran")]


def test_a_new_store_gets_this_programs_version(conn: psycopg.Connection):
    """An empty database becomes a store with every table, and its number is written down."""
    assert current(conn) is None
    bring_up_to_date(conn)
    assert current(conn) == version.STEPS[-1].to
    assert conn.execute("SELECT to_regclass('ledgerfill.events') IS NOT NULL").fetchone() == (True,)


def test_an_equal_version_goes_on(conn: psycopg.Connection):
    """A store of this program's version is left as it is."""
    bring_up_to_date(conn, THREE)
    bring_up_to_date(conn, THREE)
    assert ran(conn) == [1, 2, 3]


def test_an_older_store_runs_exactly_what_it_lacks(conn: psycopg.Connection):
    """From version 1 to 3 the steps to 2 and to 3 run, in this order, each once."""
    bring_up_to_date(conn, THREE[:1])
    bring_up_to_date(conn, THREE)
    assert ran(conn) == [1, 2, 3]
    assert current(conn) == 3


def test_a_failed_step_leaves_the_version_before_it(conn: psycopg.Connection):
    """What a step wrote and its number are one transaction: when it fails neither is there, and it can run again."""

    def fail(conn: psycopg.Connection) -> None:
        writes(2)(conn)
        conn.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        bring_up_to_date(conn, (FIRST, Step(to=2, title="fail", apply=fail), THREE[2]))
    assert (current(conn), ran(conn)) == (1, [1])
    bring_up_to_date(conn, THREE)
    assert ran(conn) == [1, 2, 3]


LONG = """
import os, signal, sys
import psycopg
from pipeline.store.version import Step, bring_up_to_date

def begin(conn):
    conn.execute("CREATE TABLE ledgerfill.ran (step int)")
    conn.execute("INSERT INTO ledgerfill.ran VALUES (1)")

def piece_by_piece(conn):
    done = conn.execute("SELECT count(*) FROM ledgerfill.ran WHERE step > 1").fetchone()[0]
    for piece in range(done, 4):
        conn.execute("INSERT INTO ledgerfill.ran VALUES (%s)", [20 + piece])
        if piece == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

def finish(conn):
    conn.execute("INSERT INTO ledgerfill.ran VALUES (2)")

steps = (Step(to=1, title="begin", apply=begin), Step(to=2, title="long", prepare=piece_by_piece, apply=finish))
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    bring_up_to_date(conn, steps)
"""


def test_a_killed_step_goes_on_where_it_was(database: str, conn: psycopg.Connection):
    """A long step whose process is killed twice is resumed each time; its number is written when it is whole."""
    for killed_at in (1, 2, None):
        command = [sys.executable, "-c", LONG, database, str(killed_at if killed_at is not None else -1)]
        ended = subprocess.run(command, check=False)
        assert ended.returncode == (0 if killed_at is None else -signal.SIGKILL)
        assert current(conn) == (2 if killed_at is None else 1)
    assert ran(conn) == [1, 20, 21, 22, 23, 2]


def test_of_two_starters_one_migrates_and_the_other_waits(database: str, caplog: pytest.LogCaptureFixture):
    """Two at once run each step once, and both find the store at the new version."""

    def slow(conn: psycopg.Connection) -> None:
        conn.execute("SELECT pg_sleep(0.5)")
        begin(conn)

    found, connected = [], threading.Barrier(2)

    def start() -> None:
        with psycopg.connect(database, autocommit=True) as conn:
            connected.wait(timeout=30.0)
            bring_up_to_date(conn, (Step(to=1, title="slow", apply=slow), *THREE[1:]))
            found.append((current(conn), ran(conn)))

    with caplog.at_level(logging.INFO):
        starters = [threading.Thread(target=start) for _ in range(2)]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join()
    assert found == [(3, [1, 2, 3])] * 2
    assert caplog.text.count("waiting for another process that brings the store up to date") == 1


def test_limits_of_the_session_do_not_end_a_step(conn: psycopg.Connection):
    """A step may take longer than the session's statements may, whose limits hold again afterwards."""
    conn.execute("SET statement_timeout = '100ms'")
    bring_up_to_date(conn, (Step(to=1, title="slow", apply=lambda conn: conn.execute("SELECT pg_sleep(0.3)")),))
    assert conn.execute("SHOW statement_timeout").fetchone() == ("100ms",)


def test_the_lock_is_given_back(conn: psycopg.Connection):
    """After the steps, also after failed ones, no lock is left."""
    with pytest.raises(psycopg.errors.DivisionByZero):
        bring_up_to_date(conn, (Step(to=1, title="fail", apply=lambda conn: conn.execute("SELECT 1 / 0")),))
    assert conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


def test_a_newer_store_is_refused(conn: psycopg.Connection):
    """A program does not touch a store of a later version, and says what to do."""
    bring_up_to_date(conn, THREE)
    with pytest.raises(Refused, match="has version 3, this program knows up to 2: use a newer ledgerfill"):
        bring_up_to_date(conn, THREE[:2])
    assert ran(conn) == [1, 2, 3]


def test_a_store_too_old_is_refused(conn: psycopg.Connection):
    """A program that has dropped a transition refuses the stores that need it."""
    bring_up_to_date(conn, THREE[:1])
    with pytest.raises(Refused, match="has version 1, too old for this program, which can start from version 2"):
        bring_up_to_date(conn, THREE[2:])
    assert ran(conn) == [1]


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE TABLE ledgerfill.mine ()",
        "CREATE TABLE ledgerfill.store_version (number int)",
        "CREATE TABLE ledgerfill.store_version (version int)",
        "CREATE TABLE ledgerfill.store_version (version int); INSERT INTO ledgerfill.store_version VALUES (NULL)",
        "CREATE TABLE ledgerfill.store_version (version text); INSERT INTO ledgerfill.store_version VALUES ('one')",
        "CREATE TABLE ledgerfill.store_version (version int); INSERT INTO ledgerfill.store_version VALUES (1), (1)",
    ],
)
def test_somebody_elses_schema_is_refused(conn: psycopg.Connection, foreign: str):
    """A schema of this name that the program did not make, or cannot read, is left as it is."""
    conn.execute(f"CREATE SCHEMA ledgerfill; {foreign}")
    with pytest.raises(Refused, match=r"did not make|does not hold one version"):
        bring_up_to_date(conn)
    assert conn.execute("SELECT to_regclass('ledgerfill.events') IS NULL").fetchone() == (True,)


def test_an_empty_schema_is_used(conn: psycopg.Connection):
    """An operator may make the schema beforehand, for a user who may not make any."""
    conn.execute("CREATE SCHEMA ledgerfill")
    bring_up_to_date(conn)
    assert current(conn) == version.STEPS[-1].to

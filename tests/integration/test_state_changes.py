"""The history's segments: filled without indexes, completed beside whoever writes, whatever is killed on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

import handmade
import psycopg
import pytest

from pipeline.errors import SegmentIncomplete
from pipeline.segments import Segment
from pipeline.store import books, locks, segments, state_changes
from pipeline.store.connection import Limits
from pipeline.store.connection import connect as connect_store
from pipeline.store.finish import Finisher
from pipeline.store.segments import BASE
from pipeline.store.state_changes import HISTORY
from workers.messages import LedgerRange

EVERY = {"state_changes_0_pkey", "state_changes_0_account_operation_id_idx"}
FIRST = Segment(0)
ROW = "INSERT INTO ledgerfill.state_changes VALUES ('SEP41', %s, 0, '', '', 1, 1, 5, NULL, NULL, NULL, NULL)"


@pytest.fixture
def finisher(store: str) -> Iterator[Finisher]:
    """Completes segments of the store."""
    with closing(Finisher(partial(_connected, store), 2, reconnect_s=5.0)) as finisher:
        yield finisher


def _connected(store: str, limits: Limits) -> psycopg.Connection:
    return connect_store(store, limits=replace(limits, lock_s=0.5))


@pytest.fixture
def conn(conn: psycopg.Connection) -> psycopg.Connection:
    """Return a connection to a store whose first segment has a history of two ledgers."""
    state_changes.ensure(conn, LedgerRange(1, 1))
    add(conn, 1, 2)
    return conn


def add(conn: psycopg.Connection, *ledgers: int) -> None:
    for ledger in ledgers:
        conn.execute(ROW, [handmade.toid(ledger, 1, 1)])


def indexes(conn: psycopg.Connection) -> set[str]:
    """Return the indexes of the first segment's history that can be used."""
    query = """SELECT indexrelid::regclass::text FROM pg_index
               WHERE indrelid = 'ledgerfill.state_changes_0'::regclass AND indisvalid"""
    return {name.removeprefix("ledgerfill.") for (name,) in conn.execute(query)}


def builder(conn: psycopg.Connection, waiting: str = "Lock") -> int:
    """Return the process of the server that builds an index and waits for a writer, as soon as there is one.

    Or, with `waiting` "Timeout", one that waits its turn to build.
    """
    query = """SELECT pid FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = %s AND query ~ 'INDEX CONCURRENTLY|pg_sleep'"""
    deadline = time.monotonic() + 20
    while not (found := conn.execute(query, [waiting]).fetchone()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found[0]


def test_indexes_come_when_the_segment_is_completed(conn: psycopg.Connection, finisher: Finisher):
    """While it is filled it has none and is due; completed it has each, is frozen and tended, and due no more."""
    assert indexes(conn) == set()
    assert state_changes.due(conn) == [FIRST]
    finisher.finish(FIRST, HISTORY)
    assert indexes(conn) == EVERY
    assert state_changes.due(conn) == []
    query = "SELECT reloptions, relallvisible, reltuples FROM pg_class WHERE relname = 'state_changes_0'"
    assert conn.execute(query).fetchone() == (None, 1, 2)
    add(conn, 3)  # it stays indexed and takes rows
    assert indexes(conn) == EVERY
    assert state_changes.due(conn) == []


def test_history_and_base_tables_are_completed_together(conn: psycopg.Connection, finisher: Finisher):
    """What is due of a segment gets its indexes at once, whatever else of it has them already."""
    segments.ensure(conn, LedgerRange(1, 1))
    finisher.finish(FIRST, BASE, HISTORY)
    assert indexes(conn) == EVERY
    assert segments.due(conn) == state_changes.due(conn) == []
    query = "SELECT count(*) FROM pg_indexes WHERE tablename ~ '^(ledgers|transactions|operations|events)_0$'"
    assert conn.execute(query).fetchone() == (len(BASE.indexes) + 1,)


def test_the_server_helps_where_connections_are_left(store: str, conn: psycopg.Connection):
    """Two connections that build two indexes have a process more each; where indexes wait for one, nobody has."""
    notices = []

    def told(limits: Limits) -> psycopg.Connection:
        conn = _connected(store, limits)
        conn.execute("SET client_min_messages = debug1")
        conn.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        return conn

    conn.execute("ALTER TABLE ledgerfill.state_changes_0 SET (parallel_workers = 8)")
    for connections, line in (2, "with request for 1 parallel workers"), (1, "serially"):
        notices.clear()
        with closing(Finisher(told, connections)) as finisher:
            finisher.finish(FIRST, HISTORY)
        built = [notice for notice in notices if notice.startswith("building index")]
        assert [notice.partition('" on table "state_changes_0" ')[2] for notice in built] == [line] * 2
        for each in indexes(conn):
            conn.execute(f"DROP INDEX ledgerfill.{each}")
        conn.execute("UPDATE ledgerfill.history_segments SET indexed = false")


def test_who_writes_is_not_held_up(connect, conn: psycopg.Connection, finisher: Finisher):
    """An open transaction with rows is waited for, others write and read meanwhile, and no row is missed."""
    open_one = connect()
    with ThreadPoolExecutor(1) as lane, open_one.transaction():
        add(open_one, 3)
        done = lane.submit(finisher.finish, FIRST, HISTORY, beside=True)
        builder(conn)
        conn.execute("SET lock_timeout = '1s'")
        add(conn, 4)
        assert conn.execute("SELECT count(*) FROM ledgerfill.state_changes").fetchone() == (3,)
        time.sleep(1)  # longer than a session waits for a lock
        assert not done.done()
        add(open_one, 5)
        open_one.execute("COMMIT")
        done.result(20)
    assert indexes(conn) == EVERY
    conn.execute("SET enable_seqscan = off")
    assert conn.execute("SELECT count(*) FROM ledgerfill.state_changes WHERE account = ''").fetchone() == (5,)


@pytest.mark.parametrize(
    ("lock", "beside"),
    [
        ("the history of SEP50", True),
        (locks.LIVE_INGESTION, True),
        ("the current state of SEP50", False),
        (locks.BASE_TABLES, False),
        ("", False),
    ],
)
def test_who_is_alone_is_quicker(store: str, connect, conn: psycopg.Connection, lock: str, beside: bool):
    """Where no other run can write into it, the indexes are built side by side, as nobody has to be let through."""
    own, other = (books.new_run(conn, job="migrate history") for _ in range(2))
    query = """SELECT query ~ 'CONCURRENTLY' FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'CREATE .*INDEX'"""
    with ExitStack() as stack:
        finisher = stack.enter_context(
            closing(Finisher(lambda limits: connect_store(store, limits=limits), 2, run=own))
        )
        lane = stack.enter_context(ThreadPoolExecutor(1))
        for run, held in ((own, "the history of SEP41"), *((other, lock) for _ in range(lock != ""))):
            stack.enter_context(locks.hold(connect(), run, lock=held))
        with (open_one := connect()).transaction():
            add(open_one, 3)
            done = lane.submit(lambda: finisher.finish(FIRST, HISTORY))
            deadline = time.monotonic() + 20
            while len(waiting := conn.execute(query).fetchall()) < (1 if beside else 2):
                assert time.monotonic() < deadline
        done.result(20)
    assert {each for (each,) in waiting} == {beside}
    assert indexes(conn) == EVERY


def test_two_that_complete_it_wait_for_each_other(store: str, connect, conn: psycopg.Connection, finisher: Finisher):
    """Migrations of two protocols may come to the end of one segment at once: one builds, and both are done."""
    open_one = connect()
    with closing(Finisher(partial(_connected, store), 1)) as other, ThreadPoolExecutor(2) as lanes:
        with open_one.transaction():
            add(open_one, 3)
            first = lanes.submit(finisher.finish, FIRST, HISTORY, beside=True)
            builder(conn)
            second = lanes.submit(other.finish, FIRST, HISTORY, beside=True)
            builder(conn, "Timeout")
            assert [first.done(), second.done()] == [False, False]
        first.result(20)
        second.result(20)
    assert indexes(conn) == EVERY


def test_a_row_that_is_there_twice_is_named(conn: psycopg.Connection, finisher: Finisher):
    """The key of a row that came twice is an error that names it; when it is gone, what was begun is begun anew."""
    add(conn, 2)
    key = f"{handmade.toid(2, 1, 1)}, 0, SEP41"
    wanted = rf'of ledgers 1-65535: could not create unique index "state_changes_0_pkey": Key .*\({key}\) is dup'
    with pytest.raises(SegmentIncomplete, match=wanted):
        finisher.finish(FIRST, HISTORY)
    assert state_changes.due(conn) == [FIRST]
    conn.execute("DELETE FROM ledgerfill.state_changes WHERE ctid = (SELECT max(ctid) FROM ledgerfill.state_changes)")
    finisher.finish(FIRST, HISTORY)
    assert indexes(conn) == EVERY


def test_what_was_killed_is_built_anew(store: str, connect, conn: psycopg.Connection):
    """A session that is killed while it builds leaves an index that nobody may use: it is dropped and built."""
    open_one, dying = connect(), Finisher(partial(_connected, store), 1, reconnect_s=0.0)
    with closing(dying), ThreadPoolExecutor(1) as lane, open_one.transaction():
        add(open_one, 3)
        done = lane.submit(dying.finish, FIRST, HISTORY, beside=True)
        conn.execute("SELECT pg_terminate_backend(%s)", [builder(conn)])
        with pytest.raises(SegmentIncomplete):
            done.result(20)
    left = "SELECT count(*) FROM pg_index WHERE indrelid = 'ledgerfill.state_changes_0'::regclass AND NOT indisvalid"
    assert conn.execute(left).fetchone() == (1,)
    with closing(Finisher(partial(_connected, store), 1)) as finisher:
        finisher.finish(FIRST, HISTORY)
    assert conn.execute(left).fetchone() == (0,)
    assert indexes(conn) == EVERY

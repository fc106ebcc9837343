"""Segments: made where they are lacking, filled, and completed with every index, whatever is killed on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import handmade
import psycopg
import pytest
from cutting_proxy import Proxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.errors import SegmentIncomplete
from pipeline.segments import Segment
from pipeline.store import books, locks, segments
from pipeline.store.commit import Committer
from pipeline.store.connection import Limits, connect
from pipeline.store.finish import Finisher
from workers.messages import MAX_LEDGER, TABLES, LedgerRange


def attached(conn: psycopg.Connection) -> list[str]:
    query = """SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'ledgerfill.events'::regclass ORDER BY relname"""
    return [name for (name,) in conn.execute(query)]


def test_range_gets_what_it_lacks(conn: psycopg.Connection):
    """A range that crosses a border gets the segments on both sides, once."""
    assert segments.ensure(conn, LedgerRange(65_535, 65_536)) == [Segment(0), Segment(65_536)]
    assert attached(conn) == ["events_0", "events_65536"]
    assert segments.ensure(conn, LedgerRange(65_535, 65_536)) == []
    assert segments.ensure(conn, LedgerRange(131_071, 131_072)) == [Segment(131_072)]


@pytest.mark.parametrize("first", [1, 65_535, 65_536, 63_092_982, MAX_LEDGER - 1])
def test_ledgers_find_their_segment(store: str, conn: psycopg.Connection, tmp_path: Path, first: int):
    """Ledgers on both sides of a border, the first there is and the last there can be, are stored and found again."""
    run = books.new_run(conn)
    books.start_run(conn, run, LedgerRange(first, first + 1), source="handmade", workers=1)
    committer = Committer(lambda: psycopg.connect(store), run)
    for ledger in (first, first + 1):  # a chunk never crosses a border
        committer.commit(handmade.chunk(tmp_path, ledger, ledger))
    committer.close()
    low, high = handmade.toid(first, 0), handmade.toid(first + 1, 0xFFFFF)
    assert conn.execute("SELECT array_agg(sequence) FROM ledgerfill.ledgers").fetchone() == ([first, first + 1],)
    for table, key, rows in (("transactions", "id", 2), ("operations", "id", 4), ("events", "operation_id", 6)):
        query = f"SELECT count(*) FROM ledgerfill.{table} WHERE {key} BETWEEN %s AND %s"
        assert conn.execute(query, [low, high]).fetchone() == (rows,)


def test_two_makers_at_once(store: str, conn: psycopg.Connection):
    """Two that make the same segments at once both succeed, and each is there once."""

    def make(_: int) -> None:
        with psycopg.connect(store, autocommit=True) as own:
            segments.ensure(own, LedgerRange(1, 400_000))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))
    assert len(attached(conn)) == 7


def test_making_stops_neither_readers_nor_writers(store: str, conn: psycopg.Connection):
    """A segment is made while another transaction reads the whole table and another writes to it."""
    segments.ensure(conn, LedgerRange(1, 1))
    with psycopg.connect(store) as reader, psycopg.connect(store) as writer:
        reader.execute("SELECT count(*) FROM ledgerfill.events")
        writer.execute("INSERT INTO ledgerfill.events VALUES (4294967296, 0, NULL, 1, NULL, '', '')")
        conn.execute("SET lock_timeout = '1s'")
        assert segments.ensure(conn, LedgerRange(65_536, 65_536)) == [Segment(65_536)]


def indexes(conn: psycopg.Connection, segment: Segment) -> set[str]:
    """Return the indexes of a segment's tables, the one on `ledgers` aside."""
    tables = [segments.part(table, segment) for table in TABLES[1:]]
    query = "SELECT indexname FROM pg_indexes WHERE schemaname = 'ledgerfill' AND tablename = ANY(%s)"
    return {name for (name,) in conn.execute(query, [tables])}


EVERY = {
    "transactions_0_pkey",
    "transactions_0_hash_idx",
    "operations_0_pkey",
    "events_0_pkey",
    "events_0_contract_id_operation_id_idx",
}


@pytest.fixture
def finisher(store: str) -> Iterator[Finisher]:
    """Completes segments of the store over two connections."""
    finisher = Finisher(lambda limits: connect(store, limits=limits), 2, reconnect_s=5.0)
    yield finisher
    finisher.close()


def test_costly_indexes_come_when_a_segment_is_completed(
    conn: psycopg.Connection, finisher: Finisher, store: str, tmp_path: Path
):
    """While it is filled a segment has none of them and is due; completed it has each, is due no more, and tended."""
    run = books.new_run(conn)
    books.start_run(conn, run, LedgerRange(5, 9), source="handmade", workers=1)
    committer = Committer(lambda: psycopg.connect(store), run)
    committer.commit(handmade.chunk(tmp_path, 5, 9))
    committer.close()
    assert indexes(conn, Segment(0)) == set()
    assert segments.due(conn) == [Segment(0)]
    finisher.finish(Segment(0), segments.BASE)
    assert indexes(conn, Segment(0)) == EVERY
    assert segments.due(conn) == []
    options = "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_0' AND reloptions IS NOT NULL"
    assert conn.execute(options).fetchone() == (0,)
    frozen = "SELECT relallfrozen = relpages AND relallfrozen > 0 FROM pg_class WHERE relname = 'events_0'"
    if conn.info.server_version >= 180_000:
        assert conn.execute(frozen).fetchone() == (True,)


def test_keys_are_unique_in_the_end(conn: psycopg.Connection, finisher: Finisher):
    """A row that is there twice is found when the index of its key is built: an error, and the segment stays due."""
    segments.ensure(conn, LedgerRange(1, 1))
    for _ in range(2):
        conn.execute("INSERT INTO ledgerfill.events VALUES (4294967296, 0, NULL, 1, NULL, '', '')")
    with pytest.raises(SegmentIncomplete, match=r"cannot build the indexes .* 1-65535: could not create unique index"):
        finisher.finish(Segment(0), segments.BASE)
    assert segments.due(conn) == [Segment(0)]


def test_completing_goes_on_where_it_was_killed(conn: psycopg.Connection, finisher: Finisher):
    """Indexes that are there stay as they are, those that are not are built."""
    segments.ensure(conn, LedgerRange(1, 1))
    segments.BASE.indexes[0].build(conn, Segment(0))
    oid = "SELECT 'ledgerfill.events_0_contract_id_operation_id_idx'::regclass::oid"
    before = conn.execute(oid).fetchone()
    finisher.finish(Segment(0), segments.BASE)
    assert indexes(conn, Segment(0)) == EVERY
    assert conn.execute(oid).fetchone() == before


def test_live_ingestion_is_not_held_up(store: str, conn: psycopg.Connection, finisher: Finisher):
    """Where it runs, a segment is completed beside who writes into it; what that leaves when killed is built anew."""
    segments.ensure(conn, LedgerRange(1, 1))
    row = "INSERT INTO ledgerfill.events VALUES (%s, 0, NULL, 1, NULL, '', '')"
    beside = """SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                AND query ~ 'INDEX CONCURRENTLY'"""
    run = books.new_run(conn, job="live")
    with ExitStack() as stack:
        lane = stack.enter_context(ThreadPoolExecutor(1))
        live, held = (stack.enter_context(closing(connect(store))) for _ in range(2))
        stack.enter_context(locks.hold(held, run, lock=locks.LIVE_INGESTION))
        with live.transaction():
            live.execute(row, [handmade.toid(2, 1, 1)])
            done = lane.submit(finisher.finish, Segment(0), segments.BASE)
            deadline = time.monotonic() + 20
            while not (builder := conn.execute(beside).fetchone()):
                assert time.monotonic() < deadline
            conn.execute("SET lock_timeout = '1s'")
            conn.execute(row, [handmade.toid(3, 1, 1)])
            conn.execute("SELECT pg_terminate_backend(%s)", builder)  # it begins again, and finds what it left
            time.sleep(0.2)
            assert not done.done()
        done.result(20)
    assert indexes(conn, Segment(0)) == EVERY
    assert conn.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchone() == (0,)
    assert segments.due(conn) == []


def test_completing_outlives_its_connections(conn: psycopg.Connection, finisher: Finisher):
    """When the server ends a connection, what it was at is done again over a new one."""
    segments.ensure(conn, LedgerRange(1, 1))
    finisher.finish(Segment(65_536), segments.BASE)  # none there: it connects, and has nothing to do
    conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ledgerfill'")
    finisher.finish(Segment(0), segments.BASE)
    assert segments.due(conn) == []


@pytest.fixture
def through(store: str) -> Iterator[Callable[..., Finisher]]:
    """Make finishers with a fate for each index that they build, and seconds after which they ask a silent server."""
    with ExitStack() as stack:
        target = conninfo_to_dict(store)

        def make(fate: Callable[[], str], *, ask_s: float) -> Finisher:
            proxy = Proxy(
                (str(target["host"]), int(str(target["port"]))),
                lambda kind, _: fate() if kind == "build" else "pass",
            )
            stack.enter_context(closing(proxy))
            url = make_conninfo(store, port=proxy.port)
            asking = partial(replace, unacknowledged_s=ask_s)
            return Finisher(lambda limits: connect(url, limits=asking(limits)), 2, reconnect_s=5.0)

        yield make


@pytest.mark.parametrize("fate", ["hole", "mute"])
def test_completing_outlives_a_silent_connection(through: Callable[..., Finisher], conn: psycopg.Connection, fate: str):
    """Where an index is asked for and nothing comes back, the server is asked what it does, and the index anew."""
    segments.ensure(conn, LedgerRange(1, 1))
    fates = iter([fate, fate])
    with closing(through(lambda: next(fates, "pass"), ask_s=1.0)) as finisher:
        finisher.finish(Segment(0), segments.BASE)
    assert indexes(conn, Segment(0)) == EVERY
    assert segments.due(conn) == []


def test_completing_waits_for_a_server_that_is_at_work(store: str):
    """An index may take as long as it takes: the session that builds it is left alone while the server is at it."""
    with closing(connect(store, limits=Limits(statement_s=0.0, unacknowledged_s=1.0))) as builder:
        assert builder.execute("SELECT pg_sleep(2.5), pg_backend_pid()").fetchone()[1] == builder.info.backend_pid


def test_cancelled_completion_ends_beside_a_silent_server(through: Callable[..., Finisher], conn: psycopg.Connection):
    """Once it is cancelled nothing is waited for that the server does not end by itself."""
    segments.ensure(conn, LedgerRange(1, 1))
    silent = threading.Event()
    finisher = through(lambda: silent.set() or "hole", ask_s=60.0)
    with ThreadPoolExecutor(1) as lane:
        done = lane.submit(finisher.finish, Segment(0), segments.BASE)
        assert silent.wait(20)
        start = time.monotonic()
        finisher.cancel()
        finisher.close()
        with pytest.raises(SegmentIncomplete):
            done.result(5)
    assert time.monotonic() - start < 8  # of which the two requests to cancel have one second each


def test_an_index_waits_for_no_other_segment(conn: psycopg.Connection, finisher: Finisher, store: str):
    """A segment is completed while an open transaction has rows in another and somebody reads the whole table."""
    segments.ensure(conn, LedgerRange(1, 65_536))
    with psycopg.connect(store) as writer, psycopg.connect(store) as reader:
        writer.execute("INSERT INTO ledgerfill.events_65536 VALUES (281474976710656, 0, NULL, 1, NULL, '', '')")
        reader.execute("SELECT count(*) FROM ledgerfill.events")
        finisher.finish(Segment(0), segments.BASE)
        reader.rollback()
        reader.execute("SELECT count(*) FROM ledgerfill.events")
    assert segments.due(conn) == [Segment(65_536)]


def hold(conn: psycopg.Connection, *stretches: tuple[int, int]) -> None:
    for ends in stretches:
        conn.execute(
            "INSERT INTO ledgerfill.ledger_stretches"
            " (first, last, previous_hash, first_hash, last_hash, job, run_id, epoch, commit_id)"
            " VALUES (%s, %s, '', '', '', 'backfill', 1, 1, gen_random_uuid())",
            ends,
        )


@pytest.mark.parametrize(
    ("stretches", "full"),
    [
        ([(65_536, 131_071)], True),
        ([(65_536, 131_070), (131_072, 140_000)], False),
        ([(1, 65_535), (65_537, 200_000)], False),
        ([(1, 9), (11, 150_000), (160_000, 170_000)], True),
        ([], False),
    ],
)
def test_a_segment_is_full_when_one_stretch_has_all_of_it(
    conn: psycopg.Connection, stretches: list[tuple[int, int]], full: bool
):
    """It is full when none of its ledgers is missing, whatever stands beside it, and only then due to be frozen."""
    segments.ensure(conn, LedgerRange(65_536, 65_536))
    conn.execute("UPDATE ledgerfill.segments SET indexed = true")
    hold(conn, *stretches)
    assert segments.is_full(conn, Segment(65_536)) is full
    assert segments.due(conn) == ([Segment(65_536)] if full else [])


def test_a_full_segment_is_frozen_once(conn: psycopg.Connection, finisher: Finisher):
    """One that was completed half full is due again when its last ledger has come, and then never more."""
    segments.ensure(conn, LedgerRange(1, 1))
    finisher.finish(Segment(0), segments.BASE)
    hold(conn, (1, 65_535))
    assert segments.due(conn) == [Segment(0)]
    finisher.finish(Segment(0), segments.BASE)
    assert segments.due(conn) == []

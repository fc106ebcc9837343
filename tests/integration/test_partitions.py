"""Partitions: made where they are lacking, with the keys they hold, without stopping anybody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import handmade
import psycopg
import pytest

from pipeline.store import books, partitions
from pipeline.store.commit import Committer
from workers.messages import MAX_LEDGER, TABLES, LedgerRange


@pytest.fixture
def conn(store: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(store, autocommit=True) as conn:
        yield conn


def attached(conn: psycopg.Connection) -> list[str]:
    query = """SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'ledgerfill.events'::regclass ORDER BY relname"""
    return [name for (name,) in conn.execute(query)]


def test_range_gets_what_it_lacks(conn: psycopg.Connection):
    """A range that crosses a border gets the partitions on both sides, once."""
    made = partitions.ensure(conn, LedgerRange(65_535, 65_536))
    assert sorted(made) == sorted(f"{table}_{first}" for table in TABLES for first in (0, 65_536))
    assert attached(conn) == ["events_0", "events_65536"]
    assert partitions.ensure(conn, LedgerRange(65_535, 65_536)) == []
    assert sorted(partitions.ensure(conn, LedgerRange(131_071, 131_072))) == sorted(
        f"{table}_131072" for table in TABLES
    )


@pytest.mark.parametrize("first", [1, 65_535, 65_536, 63_092_982, MAX_LEDGER - 1])
def test_ledgers_find_their_partition(store: str, conn: psycopg.Connection, tmp_path: Path, first: int):
    """Ledgers on both sides of a border, the first there is and the last there can be, are stored and found again."""
    run = books.new_run(conn)
    books.start_run(conn, run, LedgerRange(first, first + 1), source="handmade", workers=1)
    committer = Committer(lambda: psycopg.connect(store), run)
    committer.commit(handmade.chunk(tmp_path, first, first + 1))
    committer.close()
    low, high = handmade.toid(first, 0), handmade.toid(first + 1, 0xFFFFF)
    assert conn.execute("SELECT array_agg(sequence) FROM ledgerfill.ledgers").fetchone() == ([first, first + 1],)
    for table, key, rows in (("transactions", "id", 2), ("operations", "id", 4), ("events", "operation_id", 6)):
        query = f"SELECT count(*) FROM ledgerfill.{table} WHERE {key} BETWEEN %s AND %s"
        assert conn.execute(query, [low, high]).fetchone() == (rows,)


def test_two_makers_at_once(store: str, conn: psycopg.Connection):
    """Two that make the same partitions at once both succeed, and each partition is there once."""

    def make(_: int) -> None:
        with psycopg.connect(store, autocommit=True) as own:
            partitions.ensure(own, LedgerRange(1, 400_000))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))
    assert len(attached(conn)) == 7


def test_making_stops_neither_readers_nor_writers(store: str, conn: psycopg.Connection):
    """A partition is made while another transaction reads the whole table and another writes to it."""
    partitions.ensure(conn, LedgerRange(1, 1))
    with psycopg.connect(store) as reader, psycopg.connect(store) as writer:
        reader.execute("SELECT count(*) FROM ledgerfill.events")
        writer.execute("INSERT INTO ledgerfill.events VALUES (4294967296, 0, NULL, 1, NULL, '', '')")
        conn.execute("SET lock_timeout = '1s'")
        assert len(partitions.ensure(conn, LedgerRange(65_536, 65_536))) == 4


def test_partition_has_every_index(conn: psycopg.Connection):
    """A new partition has the indexes of the whole table, and only those."""
    partitions.ensure(conn, LedgerRange(1, 1))
    query = "SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass"
    for table in TABLES:
        whole, part = (conn.execute(query, [f"ledgerfill.{name}"]).fetchone() for name in (table, f"{table}_0"))
        assert whole == part

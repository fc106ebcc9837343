"""A connection that breaks around a COMMIT: the chunk is in the database exactly once, and the run goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import handmade
import psycopg
import pytest
from cutting_proxy import CuttingProxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.errors import CommitRefused
from pipeline.plan import Gap
from pipeline.store import books, stretches
from pipeline.store.commit import Committer
from pipeline.store.gates import LiveSwap
from workers.messages import LedgerRange

GAP = Gap(ledgers=LedgerRange(100, 129))
SHARED = "SELECT first, last, attempts, operations, (timings ->> 'chunks')::float8 FROM ledgerfill.backfill_chunks"
SLOW_COMMIT = """
    CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON ledgerfill.backfill_chunks
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.slow();
"""


@pytest.fixture
def through(store: str, conn: psycopg.Connection) -> Iterator[Callable[..., Committer]]:
    """Return a maker of committers that reach the store through a proxy with the given fate of each COMMIT."""
    names, made = conninfo_to_dict(store), []

    def make(fate: Callable[[int], str], **settings: Any) -> Committer:
        proxy = CuttingProxy((str(names["host"]), int(str(names["port"]))), fate)
        run = books.new_run(conn)
        books.start_run(conn, run, GAP.ledgers, source="handmade", workers=1)
        url = make_conninfo(store, port=proxy.port)
        committer = Committer(lambda: psycopg.connect(url, autocommit=True), run, **settings)
        made.append((proxy, committer))
        return committer

    yield make
    for proxy, committer in made:
        committer.close()
        proxy.close()


def whole(conn: psycopg.Connection) -> tuple[list[str], list[tuple[int, ...]]]:
    """Return the stretches, and how many rows and different keys each table has."""
    tables = {"ledgers": "sequence", "transactions": "id", "operations": "id", "backfill_chunks": "first"}
    found = [
        conn.execute(f"SELECT count(*), count(DISTINCT {key}) FROM ledgerfill.{table}").fetchone()
        for table, key in tables.items()
    ]
    return [str(stretch.ledgers) for stretch in stretches.held(conn)], found


@pytest.mark.parametrize("fate", ["lose", "swallow", "abandon"])
@pytest.mark.parametrize("number", [1, 2, 3], ids=["begins", "extends", "merges"])
def test_cut_commit_is_in_once(through, store: str, conn: psycopg.Connection, tmp_path: Path, fate: str, number: int):
    """Whichever chunk's COMMIT is cut, before or after it arrives, each row is there once and nothing is missing."""
    with psycopg.connect(store, autocommit=True) as other:
        run = books.new_run(conn, job="live")
        books.start_run(conn, run, GAP.ledgers, source="handmade", workers=1)
        Committer(lambda: other, run).commit(handmade.chunk(tmp_path, 120, 124))
    conn.execute(SLOW_COMMIT)
    committer = through(lambda commit: fate if commit == number else "pass")
    for first, last in ((100, 109), (110, 114), (115, 119)):
        done = committer.commit(handmade.chunk(tmp_path, first, last, gap=GAP))
        assert done.rows["ledgers"] == last - first + 1
    assert whole(conn) == (["100-124"], [(25, 25), (25, 25), (50, 50), (4, 4)])


def test_every_acknowledgement_lost(through, conn: psycopg.Connection, tmp_path: Path):
    """A run whose every COMMIT loses its acknowledgement still ends, with each row there once."""
    committer = through(lambda _: "swallow")
    for first in range(100, 105):
        committer.commit(handmade.chunk(tmp_path, first, first, gap=GAP))
    assert whole(conn) == (["100-104"], [(5, 5), (5, 5), (10, 10), (5, 5)])


def test_every_acknowledgement_of_live_ingestion_lost(through, conn: psycopg.Connection, tmp_path: Path):
    """Chunks that share a record are found in it each in its turn, and counted once."""
    committer = through(lambda _: "swallow", swap=partial(LiveSwap, gates=()))
    for first in range(100, 105):
        committer.commit(handmade.chunk(tmp_path, first, first, gap=GAP))
    assert whole(conn) == (["100-104"], [(5, 5), (5, 5), (10, 10), (1, 1)])
    assert conn.execute(SHARED).fetchall() == [(100, 104, 5, 10, 5.0)]


def test_a_socket_that_breaks_is_a_lost_connection(through, conn: psycopg.Connection, tmp_path: Path):
    """psycopg says so in the socket's own words where it waits for it: no fault of the file of rows."""
    committer, broken = through(lambda _: "pass"), []

    def turn() -> None:
        if not broken:
            broken.append(conn.execute("SELECT pg_terminate_backend(%s, 10000)", [committer._session["pid"]]))
            with suppress(psycopg.OperationalError):
                committer._conn.execute("SELECT 1")
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    committer.commit(handmade.chunk(tmp_path, 100, 104, gap=GAP), turn)
    assert (len(broken), whole(conn)) == (1, (["100-104"], [(5, 5), (5, 5), (10, 10), (1, 1)]))


def test_terminated_backend_is_replaced(through, conn: psycopg.Connection, tmp_path: Path):
    """A server process that is ended between two chunks costs nothing but a new connection."""
    committer = through(lambda _: "pass")
    committer.commit(handmade.chunk(tmp_path, 100, 104, gap=GAP))
    conn.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'COMMIT%'")
    committer.commit(handmade.chunk(tmp_path, 105, 109, gap=GAP))
    epochs = conn.execute("SELECT epoch, last FROM ledgerfill.ledger_stretches").fetchall()
    assert epochs == [(2, 109)]


def test_commit_that_never_arrives_is_given_up(through, conn: psycopg.Connection, tmp_path: Path):
    """Where no COMMIT ever gets through, the chunk is refused after the time allowed, and nothing is written."""
    committer = through(lambda commit: "pass" if commit <= 1 else "lose", reconnect_s=1.0)
    with pytest.raises(CommitRefused, match="cannot commit ledgers 100-104: "):
        committer.commit(handmade.chunk(tmp_path, 100, 104, gap=GAP))
    assert whole(conn) == ([], [(0, 0)] * 4)

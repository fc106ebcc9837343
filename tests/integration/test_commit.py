"""The commit against a real PostgreSQL: stretches, seams, counts, races and lost acknowledgements."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import handmade
import psycopg
import pytest

from pipeline.errors import BrokenSeam, CommitRefused, CursorMoved, CursorTaken, HandedOff, RowsDiffer
from pipeline.lanes import Abandoned
from pipeline.plan import Gap
from pipeline.store import books, segments, stretches
from pipeline.store.commit import Committer
from pipeline.store.connection import Limits, open_store
from workers.messages import LedgerRange

Connect = Callable[[], psycopg.Connection]


def test_rows_that_were_removed_are_named(connect: Connect, conn: psycopg.Connection, tmp_path: Path):
    """Whoever clears the folder of a run in progress ends it: the chunk and its file are named, nothing is written."""
    committer, chunk = Committer(connect, run_of(conn)), handmade.chunk(tmp_path, 100, 104)
    Path(chunk.path).unlink()
    with pytest.raises(CommitRefused, match=f"cannot commit ledgers 100-104: its rows in {chunk.path}: No such file"):
        committer.commit(chunk)
    assert conn.execute("SELECT count(*) FROM ledgerfill.ledger_stretches").fetchone() == (0,)


def run_of(conn: psycopg.Connection, job: str = "backfill") -> books.Run:
    run = books.new_run(conn, job=job)
    books.start_run(conn, run, LedgerRange(1, 1_000_000), source="handmade", workers=1)
    return run


@pytest.fixture
def committer(connect: Connect, conn: psycopg.Connection) -> Committer:
    return Committer(connect, run_of(conn))


def held(conn: psycopg.Connection) -> list[str]:
    return [str(stretch.ledgers) for stretch in stretches.held(conn)]


def counts(conn: psycopg.Connection) -> list[int]:
    return [
        conn.execute(f"SELECT count(*) FROM ledgerfill.{table}").fetchone()[0]
        for table in ("ledgers", "transactions", "operations", "events", "backfill_chunks")
    ]


def test_chunks_in_order_make_one_stretch(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """Chunks one after another extend one stretch, and all their rows and records are there."""
    gap = Gap(ledgers=LedgerRange(100, 109))
    done = committer.commit(handmade.chunk(tmp_path, 100, 104, gap=gap))
    committer.commit(handmade.chunk(tmp_path, 105, 109, gap=gap))
    (stretch,) = stretches.held(conn)
    assert done.rows == {"ledgers": 5, "transactions": 5, "operations": 10, "events": 15}
    assert stretch.ledgers == LedgerRange(100, 109)
    assert (stretch.previous_hash, stretch.first_hash, stretch.last_hash) == tuple(
        map(handmade.hash_of, (99, 100, 109))
    )
    assert counts(conn) == [10, 10, 20, 30, 2]


def test_filling_a_gap_merges_both_sides(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """The chunk that closes a gap leaves one stretch, whose ends are those of its parts."""
    for first, last in ((100, 104), (110, 114), (105, 109)):
        committer.commit(handmade.chunk(tmp_path, first, last))
    (stretch,) = stretches.held(conn)
    assert stretch.ledgers == LedgerRange(100, 114)
    assert (stretch.previous_hash, stretch.last_hash) == (handmade.hash_of(99), handmade.hash_of(114))


def test_chunk_below_a_stretch_joins_it(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A chunk that ends right below a stretch becomes its new beginning."""
    committer.commit(handmade.chunk(tmp_path, 110, 114))
    committer.commit(handmade.chunk(tmp_path, 105, 109))
    (stretch,) = stretches.held(conn)
    assert stretch.ledgers == LedgerRange(105, 114)
    assert stretch.previous_hash == handmade.hash_of(104)


def test_gaps_know_the_hashes_at_their_seams(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A gap carries the hash below it and the one that the ledger above it names; none where nothing is held."""
    committer.commit(handmade.chunk(tmp_path, 100, 104))
    committer.commit(handmade.chunk(tmp_path, 110, 114))
    assert stretches.gaps(conn, LedgerRange(95, 120)) == (
        Gap(ledgers=LedgerRange(95, 99), above=handmade.hash_of(99)),
        Gap(ledgers=LedgerRange(105, 109), below=handmade.hash_of(104), above=handmade.hash_of(109)),
        Gap(ledgers=LedgerRange(115, 120), below=handmade.hash_of(114)),
    )
    assert stretches.gaps(conn, LedgerRange(105, 109))[0].below == handmade.hash_of(104)
    assert stretches.gaps(conn, LedgerRange(101, 103)) == ()


def test_chunk_that_does_not_link_below_is_refused(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A chunk whose first ledger names another hash than the stretch below ends with is refused whole."""
    committer.commit(handmade.chunk(tmp_path, 100, 104))
    with pytest.raises(BrokenSeam, match="ledger 105 does not link to ledger 104") as caught:
        committer.commit(handmade.chunk(tmp_path, 105, 109, branch="fork"))
    assert caught.value.found == handmade.hash_of(104)
    assert held(conn) == ["100-104"]
    assert counts(conn)[0] == 5


def test_chunk_that_does_not_link_above_is_refused(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A chunk to which the stretch above does not link is refused whole, and that stretch stays."""
    committer.commit(handmade.chunk(tmp_path, 110, 114))
    with pytest.raises(BrokenSeam, match="ledger 110 does not link to ledger 109"):
        committer.commit(handmade.chunk(tmp_path, 105, 109, branch="fork"))
    assert held(conn) == ["110-114"]
    assert counts(conn)[0] == 5


@pytest.mark.parametrize("table", ["ledgers", "transactions", "operations", "events"])
def test_other_row_count_rolls_back(committer: Committer, conn: psycopg.Connection, tmp_path: Path, table: str):
    """A chunk of which PostgreSQL counts other rows than its worker leaves nothing behind, and the next one works."""
    with pytest.raises(RowsDiffer, match=f"{table} took .* rows where the worker wrote 99"):
        committer.commit(handmade.chunk(tmp_path, 100, 104, claimed={table: 99}))
    assert held(conn) == []
    assert counts(conn) == [0, 0, 0, 0, 0]
    committer.commit(handmade.chunk(tmp_path, 100, 104))
    assert held(conn) == ["100-104"]


def test_missing_stretch_is_never_begun_anew(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A chunk in the middle of its gap needs the stretch before it: when that is gone, nothing is written."""
    gap = Gap(ledgers=LedgerRange(100, 109))
    committer.commit(handmade.chunk(tmp_path, 100, 104, gap=gap))
    conn.execute("DELETE FROM ledgerfill.ledger_stretches")
    with pytest.raises(CursorMoved, match=r"found none there$"):
        committer.commit(handmade.chunk(tmp_path, 105, 109, gap=gap))
    assert counts(conn)[0] == 5
    committer.commit(handmade.chunk(tmp_path, 200, 204))
    with pytest.raises(CursorMoved, match=r"found none there, and ledger 200 is the oldest that is kept$"):
        committer.commit(handmade.chunk(tmp_path, 105, 109, gap=gap))


def test_ledgers_of_another_run_are_left_alone(
    committer: Committer, connect: Connect, conn: psycopg.Connection, tmp_path: Path
):
    """A chunk that another run has written meanwhile is told apart, with that run's number and exit code 3."""
    other = run_of(conn)
    Committer(connect, other).commit(handmade.chunk(tmp_path, 102, 106))
    with pytest.raises(CursorTaken, match=f"backfill run {other.id} has written ledgers 102-106") as caught:
        committer.commit(handmade.chunk(tmp_path, 100, 104))
    assert caught.value.exit_code == 3
    assert held(conn) == ["102-106"]


def test_live_ingestion_takes_over(committer: Committer, connect: Connect, conn: psycopg.Connection, tmp_path: Path):
    """A chunk that live ingestion has written meanwhile means that this job is done."""
    gap = Gap(ledgers=LedgerRange(100, 109))
    committer.commit(handmade.chunk(tmp_path, 100, 104, gap=gap))
    Committer(connect, run_of(conn, "live")).commit(handmade.chunk(tmp_path, 105, 120))
    with pytest.raises(HandedOff, match="stands at ledger 120") as caught:
        committer.commit(handmade.chunk(tmp_path, 105, 109, gap=gap))
    assert caught.value.exit_code == 0


def test_cancelled_commit_leaves_nothing(connect: Connect, conn: psycopg.Connection, tmp_path: Path) -> None:
    """A commit that waits for a lock of somebody else's ends when it is cancelled, its session's transaction too."""
    committer = Committer(connect, run_of(conn))
    committer.commit(handmade.chunk(tmp_path, 100, 104))
    chunk = handmade.chunk(tmp_path, 105, 109)
    with ThreadPoolExecutor() as pool, connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE ledgerfill.events")
        pending = pool.submit(committer.commit, chunk)
        while not conn.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'").fetchone():
            time.sleep(0.01)
        committer.cancel()
        with pytest.raises(CommitRefused, match="canceling statement"):
            pending.result(10)
        other.execute("ROLLBACK")
    assert held(conn) == ["100-104"]
    assert conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,)
    committer.close()


def test_rows_that_no_stretch_holds_are_named(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """Where rows stand that no stretch speaks of, somebody has changed the store: it is refused, not tried for ever."""
    segments.ensure(conn, LedgerRange(100, 100))
    conn.execute("INSERT INTO ledgerfill.ledgers VALUES (102, '', '', now(), 22, 0, 0, 0, 0)")
    with pytest.raises(CommitRefused, match="100-104: rows of no stretch stand at their place: duplicate key"):
        committer.commit(handmade.chunk(tmp_path, 100, 104))
    assert held(conn) == []


def test_rows_are_copied_ahead_and_committed_in_turn(
    committer: Committer, connect: Connect, conn: psycopg.Connection, tmp_path: Path
):
    """Rows that are there before their turn are not seen before it, and nothing is left where the turn never comes."""
    gap = Gap(ledgers=LedgerRange(100, 109))
    second, copied, go_on = Committer(connect, run_of(conn)), threading.Event(), threading.Event()

    def turn() -> None:
        copied.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(second.commit, handmade.chunk(tmp_path, 105, 109, gap=gap), turn)
        assert copied.wait(10)
        assert conn.execute("SELECT count(*) FROM ledgerfill.events").fetchone() == (0,)
        committer.commit(handmade.chunk(tmp_path, 100, 104, gap=gap))
        go_on.set()
        assert ahead.result(10).ledgers == LedgerRange(105, 109)
    assert held(conn) == ["100-109"]

    def never() -> None:
        raise Abandoned

    with pytest.raises(Abandoned):
        committer.commit(handmade.chunk(tmp_path, 110, 114), never)
    assert held(conn) == ["100-109"]
    assert conn.execute("SELECT max(sequence) FROM ledgerfill.ledgers").fetchone() == (109,)


def test_waiting_for_a_turn_is_no_trouble_of_its_own(store: str, conn: psycopg.Connection, tmp_path: Path):
    """A session that the server ends again and again while others have their turn costs a new copy, and no more."""
    waits_s = iter([0.5, 1.0, 1.0, 0.0])
    limits = Limits(idle_in_transaction_s=0.2)
    with closing(Committer(lambda: open_store(store, limits=limits), run_of(conn), reconnect_s=1.5)) as committer:
        committer.commit(handmade.chunk(tmp_path, 100, 104), lambda: time.sleep(next(waits_s)))
    assert held(conn) == ["100-104"]
    assert counts(conn) == [5, 5, 10, 15, 1]


def test_record_dates_from_its_swap(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A chunk is committed when its turn has come, however long before its copy began."""
    turns = []

    def turn() -> None:
        turns.append(conn.execute("SELECT clock_timestamp()").fetchone())

    committer.commit(handmade.chunk(tmp_path, 100, 104), turn)
    (committed_at,) = conn.execute("SELECT committed_at FROM ledgerfill.backfill_chunks").fetchone()
    assert turns[0][0] <= committed_at <= conn.execute("SELECT clock_timestamp()").fetchone()[0]

"""Legs of migrations against a real PostgreSQL: which protocols go together, and rows that are in once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from cursoring import changed, run_of, take_over
from cutting_proxy import CuttingProxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.errors import CommitRefused, CursorTaken, HandedOff
from pipeline.plan import Gap
from pipeline.store import cursors, retention
from pipeline.store.books import Run
from pipeline.store.commit import Committer
from pipeline.store.legs import Leg, LegSwap, next_leg
from workers.messages import LedgerRange
from workers.protocols.sep41 import PROTOCOL as SEP41
from workers.protocols.sep50 import PROTOCOL as SEP50

TOKEN = b"\2" * 32
SLOW = """
    CREATE FUNCTION public.slow(int8) RETURNS int8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
        PERFORM pg_sleep(0.4);
        RETURN $1;
    END $$
"""
BUILD = "CREATE INDEX built ON ledgerfill.state_changes_0 (public.slow(operation_id))"
STRETCH = """
    INSERT INTO ledgerfill.ledger_stretches
    VALUES (66000, 70000, '\\x01', '\\x02', '\\x03', 'live', 1, 1, gen_random_uuid())
"""
HISTORY = Leg("history", (SEP41,), Gap(ledgers=LedgerRange(100, 129)))


@pytest.fixture
def run(conn: psycopg.Connection) -> Run:
    """Return a migration of the history of SEP41 that begins with ledger 100."""
    run = run_of(conn, "migrate history")
    cursors.make(conn, cursors.key("SEP41", "history"), 99, None, run)
    return run


def written(conn: psycopg.Connection) -> list[int]:
    query = "SELECT (operation_id >> 32)::int4 FROM ledgerfill.state_changes ORDER BY 1"
    return [ledger for (ledger,) in conn.execute(query)]


@pytest.mark.parametrize("fate", ["lose", "swallow", "abandon"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_cut_commits_leave_each_change_once(store: str, conn, run: Run, tmp_path: Path, fate: str, number: int):
    """Whichever COMMIT is cut, before or after it arrives, each change is there once and is counted once."""
    names = conninfo_to_dict(store)
    proxy = CuttingProxy((names["host"], int(names["port"])), lambda commit: fate if commit == number else "pass")
    url = make_conninfo(store, port=proxy.port)
    committer = Committer(lambda: psycopg.connect(url, autocommit=True), run, swap=partial(LegSwap, leg=HISTORY))
    chunks = [changed(tmp_path, first, last) for first, last in ((100, 104), (105, 106))]
    counted = [committer.commit(each).rows["state_changes"] for each in chunks]
    committer.close()
    proxy.close()
    assert counted == [5, 2]
    assert written(conn) == list(range(100, 107))


def test_changes_of_another_run_are_told_apart(store: str, conn: psycopg.Connection, run: Run, tmp_path: Path):
    """Who finds its changes written already, ahead of its turn, is told whose cursor it is; nothing is there twice."""
    connect = partial(psycopg.connect, store, autocommit=True)
    first, second = (Committer(connect, each, swap=partial(LegSwap, leg=HISTORY)) for each in (run, run_of(conn)))
    first.commit(changed(tmp_path, 100, 104))
    with pytest.raises(CursorTaken, match=f"run {run.id} has written ledgers 100-104"):
        second.commit(changed(tmp_path, 100, 104))
    assert written(conn) == list(range(100, 105))
    for each in (first, second):
        each.close()


@pytest.fixture
def passed(conn: psycopg.Connection, run: Run, tmp_path: Path, store: str) -> Iterator[Committer]:
    """Return a committer at work in a segment of which nothing is kept any more, and whose history is dropped."""
    connect = partial(psycopg.connect, store, autocommit=True)
    with closing(Committer(connect, run, swap=partial(LegSwap, leg=HISTORY))) as committer:
        committer.commit(changed(tmp_path, 100, 104))
        conn.execute(STRETCH)
        yield committer


def test_an_index_that_is_being_built_is_waited_for(store: str, conn, run: Run, tmp_path: Path):
    """However long it takes, and not longer than that: somebody else's lock is waited for as long as is set."""
    connect = partial(psycopg.connect, store, autocommit=True)
    hasty = partial(connect, options="-c lock_timeout=200")
    with (
        closing(Committer(hasty, run, swap=partial(LegSwap, leg=HISTORY))) as committer,
        ThreadPoolExecutor(1) as beside,
    ):
        committer.commit(changed(tmp_path, 100, 104))
        conn.execute(SLOW)
        build = beside.submit(lambda: connect().execute(BUILD).connection.close())
        while not conn.execute("SELECT FROM pg_stat_progress_create_index WHERE phase ~ 'building'").fetchall():
            assert not build.done()
        committer.commit(changed(tmp_path, 105, 106))
        assert conn.execute("SELECT to_regclass('ledgerfill.built') IS NOT NULL").fetchone() == (True,)
        build.result(10)
        with conn.transaction():
            conn.execute("LOCK TABLE ledgerfill.state_changes_0 IN SHARE MODE")
            with pytest.raises(CommitRefused, match="canceling statement due to lock timeout"):
                committer.commit(changed(tmp_path, 107, 107))
    assert written(conn) == list(range(100, 107))


def test_a_partition_that_was_dropped_behind_live_ingestion_is_a_handoff(conn, passed: Committer, tmp_path: Path):
    """Live ingestion has gone on to another segment, and retention dropped this one: there is nothing left to do."""
    live, own = run_of(conn, "live"), [cursors.key("SEP41", "history")]
    assert take_over(conn, live, 105, own) == own
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 70000")
    retention.trim(conn, 66_000)
    with pytest.raises(HandedOff):
        passed.commit(changed(tmp_path, 105, 106))
    assert written(conn) == []


def test_a_partition_that_was_dropped_is_made_again_where_it_is_needed(conn, passed: Committer, tmp_path: Path):
    """The cursor of an open migration keeps its partition; where it went all the same, rows find a new one."""
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 70000")
    retention.trim(conn, 66_000)
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 104")
    conn.execute("DELETE FROM ledgerfill.ledger_stretches")
    assert passed.commit(changed(tmp_path, 105, 106)).rows == {"state_changes": 2}
    assert written(conn) == [105, 106]


def test_what_is_certain_goes_ahead_and_the_rest_is_asked_for(store: str, conn, run: Run, tmp_path: Path):
    """Certain changes are in before the chunk's turn, those of a token after the swap, those of a stranger never."""
    conn.execute("INSERT INTO ledgerfill.protocols (id, claims_assets) VALUES ('SEP41', true)")
    conn.execute("INSERT INTO ledgerfill.contract_instances (contract_id, from_ledger) VALUES (%s, 10)", [TOKEN])
    committer = Committer(partial(psycopg.connect, store, autocommit=True), run, swap=partial(LegSwap, leg=HISTORY))
    waiting = []

    def turn() -> None:
        waiting.extend(committer._conn.execute("SELECT change_index FROM ledgerfill.state_changes").fetchall())

    assert committer.commit(changed(tmp_path, 100, 101), turn).rows == {"state_changes": 2}
    assert waiting == [(0,), (0,)]
    assert committer.commit(changed(tmp_path, 102, 102, asked=TOKEN)).rows == {"state_changes": 2}
    assert written(conn) == [100, 101, 102, 102]
    committer.close()


def test_the_lowest_go_first_up_to_the_next(conn: psycopg.Connection):
    """A leg has the protocols that stand lowest, up to where the next one stands; the last one goes to the tip."""
    run = run_of(conn)
    keys = [cursors.key(each.id, "current_state") for each in (SEP41, SEP50)]
    cursors.make(conn, keys[0], 119, b"\1", run)
    cursors.make(conn, keys[1], 99, b"\2", run)

    def leg(tip: int) -> tuple[list[str], str, bytes | None] | None:
        found = next_leg(conn, "current_state", [SEP41, SEP50], tip)
        return found.gap and ([each.id for each in found.protocols], str(found.gap.ledgers), found.gap.below)

    assert leg(129) == (["SEP50"], "100-119", b"\2")
    assert leg(110) == (["SEP50"], "100-110", b"\2")
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 119, hash = '\\x01'")
    assert leg(129) == (["SEP41", "SEP50"], "120-129", b"\1")
    assert leg(119) is None

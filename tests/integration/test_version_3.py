"""The step to store version 3: runs and chunks of version 2 stay as they are, and runs have a history from then on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline import status
from pipeline.config import StatusSettings
from pipeline.store import books, locks, version
from workers.messages import LedgerRange

TABLES = ("backfill_runs", "backfill_chunks", "ledger_stretches", "segments", "network")
OLD = """
    INSERT INTO ledgerfill.network VALUES (true, 'Test');
    INSERT INTO ledgerfill.backfill_runs VALUES
        (1, 'backfill', 2, 9, '/lake', 2, 7, 'h', '0.1.0', now(), now(), 'failed', 'gave up', '{}'),
        (2, 'backfill', 2, 9, '/lake', 2, 8, 'h', '0.1.0', now(), NULL, NULL, NULL, NULL);
    INSERT INTO ledgerfill.backfill_chunks VALUES
        (1, 2, 5, gen_random_uuid(), '\\x01', '\\x02', 1, 1, 1, 1, 1, 1, 1, 1, '{}', now());
    INSERT INTO ledgerfill.ledger_stretches VALUES
        (2, 5, '\\x00', '\\x01', '\\x02', 'backfill', 1, 1, gen_random_uuid(), now());
    INSERT INTO ledgerfill.segments VALUES (0, true, false);
"""


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a store of version 2 with a run that failed, and one without an end."""
    with psycopg.connect(database, autocommit=True) as conn:
        version.bring_up_to_date(conn, version.STEPS[:2])
        conn.execute(OLD)
        yield conn


def everything(conn: psycopg.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {table: conn.execute(f"SELECT * FROM ledgerfill.{table}").fetchall() for table in TABLES}


def test_everything_stays_as_it_is(conn: psycopg.Connection):
    """No row of version 2 is touched; a run that begins then can say what it waits for."""
    before = everything(conn)
    version.bring_up_to_date(conn, version.STEPS[:3])
    assert version.current(conn) == 3
    assert everything(conn) == before
    assert books.steps(conn, 1) == []
    assert books.said(conn, 2) is None
    run = books.Run(id=3, process_id=1, host="h")
    books.start_run(conn, run, LedgerRange(6, 9), source="/lake", workers=1)
    books.say(conn, run, books.Word(ledgers_done=0, ledgers_wanted=4, head="none", waits_for="nothing"), 0.0)
    assert books.said(conn, 3) is not None


def test_every_new_column_says_what_it_is_for(conn: psycopg.Connection):
    """Both tables and each of their columns have a comment in the database."""
    version.bring_up_to_date(conn, version.STEPS[:3])
    bare = conn.execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attnum > 0 "
        "AND attrelid IN ('ledgerfill.backfill_steps'::regclass, 'ledgerfill.backfill_now'::regclass) "
        "AND (col_description(attrelid, attnum) IS NULL OR obj_description(attrelid, 'pg_class') IS NULL)"
    ).fetchall()
    assert bare == []


def test_status_reads_a_store_of_version_2(
    conn: psycopg.Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whoever looks at an older store sees its runs, a history that it cannot have is none, and nothing is written."""
    monkeypatch.setenv("LEDGERFILL_HOME", str(tmp_path))
    with locks.hold(conn, books.Run(id=2, process_id=8, host="h")):
        found = status.gather(StatusSettings(database=database))
    assert (found.store_version, found.store_standing) == (2, "older")
    seen = [(run.run_id, run.outcome, run.said, run.steps) for run in found.runs]
    assert seen == [(2, "running", None, ()), (1, "failed", None, ())]
    assert version.current(conn) == 2

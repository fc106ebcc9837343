"""Segments and whole runs: however completing one ends, the same command goes on until every index is there."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from lakes import CORE, FIRST, LAST, mend
from program import Program, Running, job, wait_for, wait_for_none
from stores import check, execute, held, sessions, waiting_at_hole

INDEXES = {
    "events_0_contract_id_operation_id_idx",
    "events_0_pkey",
    "operations_0_pkey",
    "transactions_0_hash_idx",
    "transactions_0_pkey",
}
SEGMENT = "1-65535"  # where all ledgers of the lake lie


def indexes(database: str) -> set[str]:
    """Return the indexes of the segment's tables, the key of `ledgers` aside."""
    with psycopg.connect(database) as conn:
        query = "SELECT indexname FROM pg_indexes WHERE schemaname = 'ledgerfill' AND tablename ~ '^[teo].*_0$'"
        return {name for (name,) in conn.execute(query)}


def due(ledgerfill: Program) -> list[list[int]]:
    """Return the ledgers of whose segments `status` says that indexes are due."""
    ended = ledgerfill("status", "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)["indexes_due"]


@pytest.fixture
def complete(ledgerfill: Program, core_lake: Path, shared: Path) -> Callable[[], None]:
    """Runs the same command again: afterwards every row and index is there, and a third run has nothing to do."""

    def completed() -> None:
        ended = ledgerfill.backfill(core_lake, FIRST, LAST)
        assert ended.returncode == 0, ended.stderr
        assert indexes(ledgerfill.database) == INDEXES
        assert due(ledgerfill) == []
        check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)
        assert "nothing to do" in ledgerfill.backfill(core_lake, FIRST, LAST).stderr

    return completed


@pytest.fixture
def writer(database: str) -> Iterator[psycopg.Connection]:
    """Somebody else who is connected to the store."""
    with psycopg.connect(database) as conn:
        yield conn


@pytest.fixture
def half_built(ledgerfill: Program, core_lake: Path, shared: Path, hole: int, writer: psycopg.Connection) -> Running:
    """A run that has committed everything and built some indexes; who writes keeps it from the others."""
    running = waiting_at_hole(ledgerfill, core_lake, hole, "--connections", 2)
    writer.execute("LOCK TABLE ledgerfill.transactions_0 IN ROW EXCLUSIVE MODE")
    mend(core_lake, shared, hole)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock'"
    with psycopg.connect(ledgerfill.database, autocommit=True) as conn:
        wait_for(lambda: conn.execute(waiting).fetchone() == (2,) or running.ended())
    assert not running.ended(), running.result().stderr
    assert indexes(ledgerfill.database) == {name for name in INDEXES if not name.startswith("transactions")}
    assert held(ledgerfill.database) == [(FIRST, LAST)]
    return running


def test_kill_while_indexes_are_built(
    ledgerfill: Program, half_built: Running, writer: psycopg.Connection, complete: Callable[[], None]
) -> None:
    """A run that is killed over half of its indexes leaves the others to the next, and its sessions end with it."""
    half_built.send(signal.SIGKILL)
    half_built.process.communicate()
    assert half_built.process.returncode == -signal.SIGKILL
    assert due(ledgerfill) == [[1, 65535]]
    wait_for(lambda: len(sessions(ledgerfill.database)) == 1, 5)  # who writes
    assert f"indexes are due for ledgers {SEGMENT}: the next backfill builds them" in ledgerfill("status").stdout
    writer.rollback()
    complete()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_indexes_are_built(
    ledgerfill: Program,
    half_built: Running,
    writer: psycopg.Connection,
    complete: Callable[[], None],
    number: signal.Signals,
) -> None:
    """A signal ends the building within moments, with its own exit code; what is due stays due."""
    half_built.send(number)
    ended = half_built.result(timeout_s=10)
    assert ended.returncode == 128 + number, ended.stderr
    wait_for(lambda: len(sessions(ledgerfill.database)) == 1, 5)  # who writes
    assert due(ledgerfill) == [[1, 65535]]
    writer.rollback()
    complete()


def test_run_completes_what_others_left(filled: Program, complete: Callable[[], None]) -> None:
    """A run over nothing missing completes a segment that is due, with those indexes that it lacks."""
    execute(filled.database, "DROP INDEX transactions_0_hash_idx")
    execute(filled.database, "UPDATE segments SET indexed = false")
    assert due(filled) == [[1, 65535]]
    complete()


def test_index_that_cannot_be_built(
    ledgerfill: Program, core_lake: Path, shared: Path, hole: int, complete: Callable[[], None]
) -> None:
    """It ends the run with 1 and the segment's name; every ledger stays committed, and the next run goes on."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    assert execute(ledgerfill.database, "INSERT INTO transactions_0 SELECT * FROM transactions_0 LIMIT 1") == 1
    mend(core_lake, shared, hole)
    ended = running.result()
    assert ended.returncode == 1
    named = f"cannot build the indexes of the segment of ledgers {SEGMENT}: could not create unique index"
    assert named in ended.stderr
    assert held(ledgerfill.database) == [(FIRST, LAST)]
    assert due(ledgerfill) == [[1, 65535]]
    wait_for_none(lambda: sessions(ledgerfill.database))
    twice = "DELETE FROM transactions_0 WHERE ctid = (SELECT max(ctid) FROM transactions_0 WHERE id = {})"
    first = "(SELECT id FROM transactions_0 GROUP BY id HAVING count(*) > 1)"
    assert execute(ledgerfill.database, twice.format(first)) == 1
    complete()


def test_finished_segment_is_extended_with_its_indexes(
    ledgerfill: Program, core_lake: Path, shared: Path, hole: int, complete: Callable[[], None]
) -> None:
    """A run that goes on in a finished segment finds every index there and leaves it so, also while it runs."""
    assert ledgerfill.backfill(core_lake, FIRST, hole - 9).returncode == 0  # the next chunks end before the hole
    before = oids(ledgerfill.database)
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    assert oids(ledgerfill.database) == before
    assert due(ledgerfill) == []
    mend(core_lake, shared, hole)
    assert running.result().returncode == 0
    complete()
    assert oids(ledgerfill.database) == before


def oids(database: str) -> list[tuple[str, int]]:
    """Return the indexes of the segment with the files that they were built into."""
    with psycopg.connect(database) as conn:
        query = "SELECT relname, relfilenode FROM pg_class WHERE relname = ANY(%s) ORDER BY relname"
        return conn.execute(query, [sorted(INDEXES)]).fetchall()


def test_verify_warns_of_due_indexes(filled: Program, core_lake: Path) -> None:
    """`verify` says that it will be slow where indexes are due, and compares all the same."""
    assert "indexes are due" not in filled("verify", *job(core_lake, FIRST, LAST)).stderr
    execute(filled.database, "UPDATE segments SET indexed = false")
    ended = filled("verify", *job(core_lake, FIRST, LAST))
    assert ended.returncode == 0
    assert f"reading is slow: indexes are due for ledgers {SEGMENT}, a backfill builds them" in ended.stderr

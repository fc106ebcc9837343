"""The step to store version 6: the history keeps its rows and indexes, segment by segment, and new ones come later."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.segments import Segment
from pipeline.store import state, state_changes, version, version_6
from workers.protocols.sep41 import PROTOCOL as SEP41

PART = """
    CREATE TABLE ledgerfill.state_changes_{first} PARTITION OF ledgerfill.state_changes
    FOR VALUES FROM ({low}) TO ({high})
"""
ROW = "INSERT INTO ledgerfill.state_changes VALUES ('SEP41', %s, 0, '', '', 1, 1, 5, NULL, NULL, NULL, NULL)"
INDEXES = "SELECT indexrelid::regclass::text, indexrelid::int8, indisvalid FROM pg_index WHERE indrelid = %s::regclass"


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a store of version 5 whose history has two segments with a row each."""
    with psycopg.connect(database, autocommit=True) as conn:
        version.bring_up_to_date(conn, version.STEPS[:5])
        for first in (0, 65_536):
            bounds = {"low": first << 32, "high": (first + 65_536) << 32}
            conn.execute(PART.format(first=first, **bounds).encode())
            conn.execute(ROW, [(first + 1) << 32])
        yield conn


def indexes(conn: psycopg.Connection, table: str) -> set[tuple[str, int, bool]]:
    return set(conn.execute(INDEXES, [f"ledgerfill.{table}"]).fetchall())


def test_rows_and_indexes_stay_and_the_whole_table_has_none(conn: psycopg.Connection):
    """The very same indexes are there, each under the name that it is built by; the catalogue has them."""
    before = [indexes(conn, f"state_changes_{first}") for first in (0, 65_536)]
    version.bring_up_to_date(conn, version.STEPS[:6])
    assert version.current(conn) == 6
    for index in state_changes.HISTORY.indexes:
        index.build(conn, Segment(0))
    assert [indexes(conn, f"state_changes_{first}") for first in (0, 65_536)] == before
    assert indexes(conn, "state_changes") == set()
    assert conn.execute("SELECT count(*) FROM ledgerfill.state_changes").fetchone() == (2,)
    found = conn.execute("SELECT first, indexed FROM ledgerfill.history_segments ORDER BY first").fetchall()
    assert found == [(0, True), (65_536, True)]
    assert state_changes.due(conn) == []


def test_current_state_gets_the_room_that_a_new_one_has(conn: psycopg.Connection):
    """A table of state that stands leaves as much of its pages free as one that is made from now on."""
    conn.execute("CREATE TABLE ledgerfill.sep41_balances (balance numeric)")
    version.bring_up_to_date(conn, version.STEPS[:6])
    state.ensure(conn, SEP41.state[1])
    query = "SELECT DISTINCT reloptions FROM pg_class WHERE relname IN ('sep41_balances', 'sep41_allowances')"
    assert conn.execute(query).fetchall() == [(["fillfactor=70"],)]


def test_a_step_that_was_killed_goes_on(conn: psycopg.Connection):
    """What the step had proved before it was killed is no hindrance, and goes with the step."""
    version_6.prepare(conn)
    version.bring_up_to_date(conn, version.STEPS[:6])
    assert version.current(conn) == 6
    checks = "SELECT count(*) FROM pg_constraint WHERE conname = 'holds_its_ledgers'"
    assert conn.execute(checks).fetchone() == (0,)


def test_the_new_table_says_what_it_is_for(conn: psycopg.Connection):
    """It and its columns have comments in the database."""
    version.bring_up_to_date(conn, version.STEPS[:6])
    query = """SELECT count(*), count(description) FROM pg_attribute a
               LEFT JOIN pg_description d ON d.objoid = attrelid AND objsubid = attnum
               WHERE attrelid = 'ledgerfill.history_segments'::regclass AND attnum > 0"""
    assert conn.execute(query).fetchone() == (2, 2)
    query = "SELECT obj_description('ledgerfill.history_segments'::regclass) IS NULL"
    assert conn.execute(query).fetchone() == (False,)

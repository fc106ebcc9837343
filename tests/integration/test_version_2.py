"""The step to store version 2: a store of version 1 keeps its rows and every index, and its segments are known."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.segments import Segment
from pipeline.store import segments, version, version_2

PARTS = """
    CREATE TABLE ledgerfill.{table}_{first} PARTITION OF ledgerfill.{table} FOR VALUES FROM ({low}) TO ({high});
"""
TABLES = {"ledgers": 0, "transactions": 32, "operations": 32, "events": 32}  # and by how much keys are shifted
ROWS = """
    INSERT INTO ledgerfill.transactions VALUES (4294971392, '\\x01', true, 1, 100, '\\x30', NULL, NULL, 0);
    INSERT INTO ledgerfill.operations VALUES (4294971393, 1, '\\x30', NULL, '\\x00');
    INSERT INTO ledgerfill.events VALUES (4294971393, 0, NULL, 1, '\\x02', '\\x00', '\\x00');
"""
INDEXES = (
    "SELECT indexrelid::regclass::text, indexrelid::int8 FROM pg_index WHERE indrelid::regclass::text LIKE '%\\_0'"
)


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a store of version 1 with two partitions of each table and a row of each kind."""
    with psycopg.connect(database, autocommit=True) as conn:
        version.bring_up_to_date(conn, version.STEPS[:1])
        for first in (0, 65_536):
            for table, shift in TABLES.items():
                part = PARTS.format(table=table, first=first, low=first << shift, high=(first + 65_536) << shift)
                conn.execute(part.encode())
        conn.execute(ROWS.encode())
        yield conn


def rows(conn: psycopg.Connection) -> list[int]:
    found = [conn.execute(f"SELECT count(*) FROM ledgerfill.{table}").fetchone() for table in TABLES]
    return [row[0] for row in found if row]


def test_partitions_become_segments_and_keep_their_indexes(conn: psycopg.Connection):
    """Nothing is built again: the very same indexes are there, the whole tables have none, every segment is indexed."""
    before = dict(conn.execute(INDEXES).fetchall())
    version.bring_up_to_date(conn)
    assert dict(conn.execute(INDEXES).fetchall()) == before
    assert rows(conn) == [0, 1, 1, 1]
    of_whole = "SELECT count(*) FROM pg_index WHERE indrelid = 'ledgerfill.events'::regclass"
    assert conn.execute(of_whole).fetchone() == (0,)
    found = conn.execute("SELECT first, indexed FROM ledgerfill.segments ORDER BY first").fetchall()
    assert found == [(0, True), (65_536, True)]
    checks = "SELECT count(*) FROM pg_constraint WHERE conname = 'holds_its_ledgers'"
    assert conn.execute(checks).fetchone() == (0,)
    for index in segments.BASE.indexes:  # each is there under the very name that a segment's has
        index.build(conn, Segment(0))
    assert dict(conn.execute(INDEXES).fetchall()) == before


def test_a_step_that_was_killed_goes_on(conn: psycopg.Connection):
    """What the step had proved before it was killed is there already and is no hindrance."""
    version_2.prepare(conn)
    version.bring_up_to_date(conn, version.STEPS[:2])
    assert version.current(conn) == 2
    assert rows(conn) == [0, 1, 1, 1]

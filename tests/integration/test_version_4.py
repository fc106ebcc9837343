"""The step to store version 4: what is there stays, and its ledgers are known to be without contracts."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.store import unread, version
from workers.messages import LedgerRange

TABLES = ("backfill_runs", "ledger_stretches", "segments", "network", "backfill_steps")
OLD = """
    INSERT INTO ledgerfill.network VALUES (true, 'Test');
    INSERT INTO ledgerfill.backfill_runs VALUES
        (1, 'backfill', 2, 9, '/lake', 2, 7, 'h', '0.1.0', now(), now(), 'failed', 'gave up', '{}');
    INSERT INTO ledgerfill.ledger_stretches VALUES
        (2, 5, '\\x00', '\\x01', '\\x02', 'backfill', 1, 1, gen_random_uuid(), now()),
        (8, 9, '\\x04', '\\x05', '\\x06', 'backfill', 1, 1, gen_random_uuid(), now());
"""
CHUNK = """
    INSERT INTO ledgerfill.backfill_chunks (run_id, first, last, commit_id, first_hash, last_hash, worker, attempts,
        transactions, operations, events, object_bytes, plain_bytes, row_bytes, timings)
    VALUES (1, %s, %s, gen_random_uuid(), '\\x01', '\\x02', 1, 1, 1, 1, 1, 1, 1, 1, '{}')
"""


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a store of version 3 that holds two stretches."""
    with psycopg.connect(database, autocommit=True) as conn:
        version.bring_up_to_date(conn, version.STEPS[:3])
        conn.execute(OLD)
        conn.execute(CHUNK, (2, 5))
        yield conn


def everything(conn: psycopg.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {table: conn.execute(f"SELECT * FROM ledgerfill.{table}").fetchall() for table in TABLES}


def test_everything_stays_and_its_ledgers_are_unread(conn: psycopg.Connection):
    """No row of version 3 is touched; the contracts of its ledgers were never read, which is written down."""
    before = everything(conn)
    version.bring_up_to_date(conn, version.STEPS[:4])
    assert version.current(conn) == 4
    assert everything(conn) == before
    assert unread.ranges(conn) == [LedgerRange(2, 5), LedgerRange(8, 9)]


def test_a_run_of_an_older_program_can_commit_nothing_more(conn: psycopg.Connection):
    """It would bring ledgers without their contracts, and nobody would know."""
    version.bring_up_to_date(conn, version.STEPS[:4])
    with pytest.raises(psycopg.errors.NotNullViolation):
        conn.execute(CHUNK, (6, 7))


def test_every_new_column_says_what_it_is_for(conn: psycopg.Connection):
    """Every table and view of version 4 and each of their columns has a comment in the database."""
    version.bring_up_to_date(conn, version.STEPS[:4])
    bare = conn.execute(
        """
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'ledgerfill'::regnamespace AND c.relkind = 'r' AND a.attnum >= 0 AND NOT a.attisdropped
          AND (c.relname ~ '^(protocols|protocol_|contract)' OR a.attname = 'contracts')
          AND col_description(c.oid, a.attnum) IS NULL
        UNION ALL
        SELECT c.relname, NULL FROM pg_class c
        WHERE c.relnamespace = 'ledgerfill'::regnamespace AND c.relname ~ '^(protocol|contract)'
          AND c.relkind IN ('r', 'v')
          AND obj_description(c.oid) IS NULL
        """
    ).fetchall()
    assert bare == []

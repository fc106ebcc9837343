"""The step to store version 5: protocols that were set up stay, and have a place for where their migrations begin."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.store import version


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a store of version 4 with a protocol."""
    with psycopg.connect(database, autocommit=True) as conn:
        version.bring_up_to_date(conn, version.STEPS[:4])
        conn.execute("INSERT INTO ledgerfill.protocols (id, claims_assets) VALUES ('SEP41', true)")
        yield conn


def test_what_is_there_stays(conn: psycopg.Connection):
    """A protocol keeps its statuses, and no migration of it has begun."""
    before = conn.execute("SELECT * FROM ledgerfill.protocols").fetchall()
    version.bring_up_to_date(conn, version.STEPS[:5])
    assert version.current(conn) == 5
    assert conn.execute("SELECT * FROM ledgerfill.protocols").fetchall() == [(*row, None, None) for row in before]


def test_every_new_column_says_what_it_is_for(conn: psycopg.Connection):
    """The history and each of its columns have a comment in the database, and so have the new ones of protocols."""
    version.bring_up_to_date(conn, version.STEPS[:5])
    bare = conn.execute(
        """
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'ledgerfill'::regnamespace AND c.relname IN ('state_changes', 'protocols')
          AND a.attnum >= 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
        """
    ).fetchall()
    assert bare == []
    assert conn.execute("SELECT obj_description('ledgerfill.state_changes'::regclass) IS NULL").fetchone() == (False,)

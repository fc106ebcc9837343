"""The step to store version 6: the history's indexes go to its segments, where they stay as they are."""

from __future__ import annotations

import psycopg

from pipeline.store import queries, version_2

_SQL = queries.load("version_6")
_TABLE, _KEY = "state_changes", "operation_id"


def prepare(conn: psycopg.Connection) -> None:
    """Prove what attaching a partition has to know, while others read and write."""
    version_2.prove(conn, _TABLE, _KEY)


def apply(conn: psycopg.Connection) -> None:
    """Leave the indexes to the partitions, and write down which segments have them."""
    version_2.hand_down(conn, _TABLE)
    conn.execute(_SQL["catalogue"])
    conn.execute(_SQL["register"])
    conn.execute(_SQL["words"])

"""The step to store version 6: the history's indexes go to its segments, where they stay; current state gets room."""

from __future__ import annotations

import psycopg
from psycopg import sql

from pipeline.store import queries, version_2

_SQL = queries.load("version_6")
_TABLE, _KEY = "state_changes", "operation_id"
_STATE = ("sep41_balances", "sep41_allowances", "sep50_tokens")  # that a store of version 5 may have


def prepare(conn: psycopg.Connection) -> None:
    """Prove what attaching a partition has to know, while others read and write."""
    version_2.prove(conn, _TABLE, _KEY)


def apply(conn: psycopg.Connection) -> None:
    """Leave the indexes to the partitions, write down which segments have them, and make room in current state."""
    version_2.hand_down(conn, _TABLE)
    conn.execute(_SQL["catalogue"])
    conn.execute(_SQL["register"])
    conn.execute(_SQL["words"])
    for table in _STATE:
        conn.execute(queries.template(_SQL["room"], {"table": sql.Identifier(table)}))

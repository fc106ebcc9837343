"""The step to store version 5: a table for the history of protocols, and where each migration begins."""

from __future__ import annotations

import psycopg

from pipeline.store import queries


def apply(conn: psycopg.Connection) -> None:
    """Create it, empty; what is there stays."""
    conn.execute(queries.script("version_5"))

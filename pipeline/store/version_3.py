"""The step to store version 3: tables for what a run does against stalls, and for what it waits for."""

from __future__ import annotations

import psycopg

from pipeline.store import queries


def apply(conn: psycopg.Connection) -> None:
    """Create both, empty; nothing that is there is touched."""
    conn.execute(queries.script("version_3"))

"""The step to store version 4: tables for contracts, their code and their protocols."""

from __future__ import annotations

import psycopg

from pipeline.store import queries


def apply(conn: psycopg.Connection) -> None:
    """Create them, and note the ledgers that are there already: their contracts have not been read."""
    conn.execute(queries.script("version_4"))

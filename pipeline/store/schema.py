"""A new store's tables, functions and views: what store version 1 begins with."""

from __future__ import annotations

from typing import Any

import psycopg

from pipeline.store import queries

SCRIPTS = ("schema", "comments", "functions", "values", "views")  # in this order, from `sql/`


def create(conn: psycopg.Connection[Any]) -> None:
    """Create all of it under the schema `ledgerfill`, in the caller's transaction if there is one."""
    with conn.transaction():
        for name in SCRIPTS:
            conn.execute(queries.script(name))

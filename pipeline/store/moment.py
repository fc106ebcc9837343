"""One moment: several queries that see the store as it stood at the first of them, also while a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pipeline.store import queries

_SQL = queries.load("moment")


@contextmanager
def one_moment(conn: psycopg.Connection) -> Iterator[None]:
    """Have all that `conn` reads inside come from one moment; nothing can be written. Not within a transaction."""
    with conn.transaction():
        conn.execute(_SQL["begin"])
        yield

"""The SQL files beside this one: each query has a name and a description there, and Python holds the names only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from psycopg import sql

_NAME = re.compile(rb"^-- name: (\w+)$", re.MULTILINE)


def script(name: str) -> bytes:
    """Return a whole file, `sql/NAME.sql`."""
    return (files(__package__) / "sql" / f"{name}.sql").read_bytes()


@cache
def load(name: str) -> dict[str, bytes]:
    """Return the queries of `sql/NAME.sql` by their names; each begins with a line `-- name: NAME`."""
    _, *parts = _NAME.split(script(name))
    return {query.decode(): text.strip() for query, text in zip(parts[::2], parts[1::2], strict=True)}


def template(query: bytes, names: Mapping[str, sql.Composable]) -> sql.Composed:
    """Fill the `{names}` of a query that PostgreSQL takes no parameters for: tables, bounds of partitions."""
    return sql.SQL(query.decode()).format(**names)

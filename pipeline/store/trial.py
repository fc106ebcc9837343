"""Tables for trials: what `bench` holds against the product's own layout. Only ever in a throw-away database."""

from __future__ import annotations

import psycopg
from psycopg import sql

from pipeline.store import queries, version
from workers.messages import TABLES

_SQL = queries.load("trial")
# Store version 1: every key and index in place while rows came.
_KEYS = {
    "ledgers": ("sequence",),
    "transactions": ("id",),
    "operations": ("id",),
    "events": ("operation_id", "event_index"),
}
_OTHERS = {"transactions": ("hash",), "events": ("contract_id", "operation_id")}


def renew(conn: psycopg.Connection) -> None:
    """Delete the store and all trials, and make an empty store."""
    conn.execute(_SQL["drop"])
    version.bring_up_to_date(conn)
    conn.execute(_SQL["checkpoint"])


def make_plain(conn: psycopg.Connection) -> None:
    """Make tables without any index."""
    conn.execute(_SQL["schema"])
    for table in TABLES:
        conn.execute(queries.template(_SQL["plain"], {"table": sql.Identifier(table)}))


def make_indexed(conn: psycopg.Connection) -> None:
    """Make partitioned tables with every index that the store of version 1 had, in place."""
    conn.execute(_SQL["schema"])
    for table in TABLES:
        names = {
            "table": sql.Identifier(table),
            "part": sql.Identifier(f"{table}_0"),
            "key": _columns(_KEYS[table]),
            "first": sql.Identifier(_KEYS[table][0]),
            "columns": _columns(_OTHERS.get(table, ())),
        }
        for query in ("whole", *(("index",) if table in _OTHERS else ()), "part"):
            conn.execute(queries.template(_SQL[query], names))


def rows(conn: psycopg.Connection, schema: str) -> int:
    """Return how many rows the big tables of a schema hold together."""
    counts = (
        conn.execute(queries.template(_SQL["rows"], {"table": sql.Identifier(schema, table)})) for table in TABLES
    )
    return sum(count.fetchone()[0] for count in counts)  # type: ignore[index]  # a count always has a row


def _columns(names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))

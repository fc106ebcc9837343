"""Current state: a protocol's declaration turned into its table, and into the statements that merge rows into it.

Rows wait in a staging table of the same columns, behind the place (`operation_id`, `change_index`) of the last change
that each holds: `last` is decided by it. Merging all of a range at once and ledger by ledger leaves the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import sql

from pipeline.errors import Refused
from pipeline.store import cursors, queries, staging
from workers.protocols import Protocol, StateTable

_SQL = queries.load("state")
_TYPES: dict[str, LiteralString] = {
    "contract": "bytea",
    "address": "bytea",
    "integer": "numeric",
    "u32": "bigint",
    "ledger": "integer",
}
_SHOWN: dict[str, LiteralString] = {  # to people, where it is not as it stands
    "contract": "ledgerfill.strkey('\\x10'::bytea || {0}) AS {0}",
    "address": "ledgerfill.strkey({0}) AS {0}",
}
_FOLDS: dict[str, LiteralString] = {
    "sum": "sum({})",
    "max": "max({})",
    "last": "(array_agg({} ORDER BY operation_id DESC, change_index DESC))[1]",
}
_MERGES: dict[str, LiteralString] = {  # what stands and what comes
    "sum": "state.{0} + folded.{0}",
    "max": "greatest(state.{0}, folded.{0})",
    "last": "folded.{0}",  # merges come in the order of ledgers
}
_EMPTY: dict[str, LiteralString] = {"zero": " = 0", "null": " IS NULL"}


def ensure_all(conn: psycopg.Connection, protocol: Protocol) -> None:
    """Make the tables of a protocol, each with a view for people, unless they stand.

    Raises `Refused` where one stands with other columns than declared, where one is missing of a current state that has
    begun, for its cursor says that the ledgers before are in it, and where one has rows before it begins.
    """
    found = cursors.standing(conn, protocol.id, "current_state")
    begins = found.begins if found else None
    for table in protocol.state:
        name = f"ledgerfill.{table.name}"
        if begins is not None and not conn.execute(_SQL["standing"], {"table": table.name}).fetchone():
            raise Refused(
                f"table {name} is not there, and the current state of {protocol.id} began with ledger {begins}: "
                "a new table would lack what it held; let that state begin anew"
            )
        ensure(conn, table)
        if begins is None and conn.execute(queries.template(_SQL["any"], _names(table))).fetchone():
            raise Refused(
                f"table {name} has rows, and the current state of {protocol.id} has not begun: sums would go on from "
                f"there; DROP TABLE {name} CASCADE comes first"
            )


def ensure(conn: psycopg.Connection, table: StateTable) -> None:
    """Make the table, and a view for people, unless it stands.

    Raises `Refused` where one stands with other columns than declared.
    """
    found = conn.execute(_SQL["standing"], {"table": table.name}).fetchall()
    if not found:
        with conn.transaction():
            conn.execute(create(table))
            conn.execute(queries.template(_SQL["show"], _names(table)))
        return
    if found != (declared := _columns(table)):
        stands, wants = (
            ", ".join(f"{name} {kind}{' NOT NULL' if required else ''}" for name, kind, required in columns)
            for columns in (found, declared)
        )
        raise Refused(f"table ledgerfill.{table.name} has the columns {stands}; its protocol declares {wants}")


def staged(table: StateTable) -> sql.Identifier:
    """Return the name of the table in which its rows wait."""
    return sql.Identifier("pg_temp", staging.name(table.name))


def create(table: StateTable) -> sql.Composed:
    """Return what makes the table."""
    return queries.template(_SQL["create"], _names(table))


def create_staged(table: StateTable) -> sql.Composed:
    """Return what makes the staging table in this session, unless it is there; each commit empties it."""
    return queries.template(_SQL["stage"], _names(table))


@contextmanager
def merging(conn: psycopg.Connection) -> Iterator[None]:
    """Have merges look their rows up by the index, whatever the server thinks of it, in the caller's transaction."""
    conn.execute(_SQL["joins"], {"others": "off"})
    yield
    conn.execute(_SQL["joins"], {"others": "on"})


def merge(
    conn: psycopg.Connection, table: StateTable, source: sql.Composable | None = None, *, folded: bool = False
) -> int:
    """Merge all rows of `source` into the table, in the caller's transaction, and return how many rows that wrote.

    `source`: a table or a query in parentheses with an alias, of the staging table's columns; None: the staging table.
    `folded`: no two of them have one key, and they come in the order of the keys, which is the quickest.
    """
    names = _names(table) | {"source": source or staged(table)}
    names["folded"] = queries.template(_SQL["as_they_are" if folded else "fold"], names)
    return conn.execute(queries.template(_SQL["merge"], names)).rowcount


def _columns(table: StateTable) -> list[tuple[str, LiteralString, bool]]:
    """Return name, type and whether it is NOT NULL, of each column in order."""
    keys = [(key.name, _TYPES[key.type], True) for key in table.key]
    return keys + [(value.name, _TYPES[value.type], not value.nullable) for value in table.values]


def _names(table: StateTable) -> dict[str, sql.Composable]:
    keys = [key.name for key in table.key]
    kinds: list[tuple[str, str]] = [(key.name, key.type) for key in table.key]
    kinds += [(value.name, value.type) for value in table.values]
    columns = (
        sql.SQL("{} {} NOT NULL" if required else "{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind, required in _columns(table)
    )
    return {
        "table": sql.Identifier(table.name),
        "view": sql.Identifier(f"{table.name}_readable"),
        "shown": _each(", ", [(_SHOWN.get(kind, "{0}"), name) for name, kind in kinds]),
        "staged": staged(table),
        "columns": sql.SQL(", ").join(columns),
        "key": _each(", ", [("{}", name) for name in keys]),
        "names": _each(", ", [("{}", name) for name, _, _ in _columns(table)]),
        "folds": _each(
            ", ", [("{}", name) for name in keys] + [(_FOLDS[value.merge], value.name) for value in table.values]
        ),
        "same": _each(" AND ", [("state.{0} = folded.{0}", name) for name in keys]),
        "new": _each(", ", [("folded.{}", name) for name, _, _ in _columns(table)]),
        "merges": _each(", ", [("{0} = " + _MERGES[value.merge], value.name) for value in table.values]),
        "empty": _empty(table, _MERGES),
        "new_empty": _empty(table, dict.fromkeys(_MERGES, "folded.{0}")),
    }


def _empty(table: StateTable, values: dict[str, LiteralString]) -> sql.Composable:
    """Return whether a row is at nothing, by how its values are told."""
    parts = [(values[value.merge] + _EMPTY[value.delete_at], value.name) for value in table.deleting if value.delete_at]
    return _each(" AND ", parts) if parts else sql.SQL("false")


def _each(joint: LiteralString, parts: Iterable[tuple[LiteralString, str]]) -> sql.Composed:
    """Put each name into its text."""
    return sql.SQL(joint).join(sql.SQL(text).format(sql.Identifier(name)) for text, name in parts)

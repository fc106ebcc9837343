"""The step to store version 2: costly indexes go from the big tables to their segments, where they stay as they are."""

from __future__ import annotations

import re

import psycopg
from psycopg import sql

from pipeline.segments import Segment
from pipeline.store import queries, segments
from pipeline.store.columns import COLUMNS

_SQL = queries.load("version_2")
_TABLES = ("transactions", "operations", "events")  # `ledgers` keeps its key: one row a ledger costs nothing


def prepare(conn: psycopg.Connection) -> None:
    """Prove what attaching a partition has to know, table by table, while others read and write."""
    for table in _TABLES:
        prove(conn, table, COLUMNS[table][0].name)


def apply(conn: psycopg.Connection) -> None:
    """Take the partitions off, drop the whole tables' indexes, and put them back with their own."""
    conn.execute(_SQL["catalogue"])
    for table in _TABLES:
        hand_down(conn, table)
    conn.execute(_SQL["register"])


def prove(conn: psycopg.Connection, table: str, key: str) -> None:
    """Prove that each partition holds nothing but its ledgers, by its column `key` of TOIDs; once."""
    for segment in _partitions(conn, table):
        part = segments.part(table, segment)
        if not _has_check(conn, part):
            low, high = segments.bounds(table, segment)
            if isinstance(high, sql.SQL):  # MAXVALUE: no key lies above
                high = sql.Literal(2**63 - 1)
            names = {"key": sql.Identifier(key), "low": low, "high": high}
            conn.execute(queries.template(_SQL["check"], names | _of(part)))
        conn.execute(queries.template(_SQL["validate"], _of(part)))


def hand_down(conn: psycopg.Connection, table: str) -> None:
    """Leave a proved table's indexes to its partitions, where they stay as they are."""
    held = _partitions(conn, table)
    for segment in held:
        conn.execute(queries.template(_SQL["detach"], _of(segments.part(table, segment), table)))
    for name, constraint in conn.execute(_SQL["indexes"], {"table": table}).fetchall():
        query = "drop_key" if constraint else "drop_index"
        conn.execute(queries.template(_SQL[query], _of(name, table)))
    for segment in held:
        low, high = segments.bounds(table, segment)
        names = _of(segments.part(table, segment), table) | {"low": low, "high": high}
        conn.execute(queries.template(_SQL["attach"], names))
        conn.execute(queries.template(_SQL["uncheck"], names))


def _partitions(conn: psycopg.Connection, table: str) -> list[Segment]:
    names = [name for (name,) in conn.execute(_SQL["parts"], {"table": table})]
    return [Segment(int(match[1])) for name in names if (match := re.fullmatch(rf"{table}_(\d+)", name))]


def _has_check(conn: psycopg.Connection, part: str) -> bool:
    return conn.execute(_SQL["checked"], {"part": part}).fetchone() is not None


def _of(part: str, table: str = "") -> dict[str, sql.Composable]:
    return {"part": sql.Identifier(part), "table": sql.Identifier(table or part)}

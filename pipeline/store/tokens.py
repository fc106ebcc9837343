"""Rows of tokens: staged as a worker makes them, sifted by what their contracts are, merged into history or state."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import psycopg
from psycopg import sql

from pipeline.actions import ReadyChunk
from pipeline.segments import Segment
from pipeline.store import queries, staging, state, state_changes
from pipeline.store.cursors import Kind
from workers._decode import SECTIONS
from workers.protocols import Protocol, StateTable

_SQL = queries.load("tokens")
_EVENTS = {"SEP41": "sep41_events", "SEP50": "sep50_events"}  # sections that count what may be a token's
_NOTHING = sql.SQL("")
_UNLIKE = ("sep41_balances", "sep41_allowances", "sep50_tokens")  # whose sections have other columns than the table


def sections(protocol: Protocol, kind: Kind) -> tuple[str, ...]:
    """Return the sections that a worker makes of a protocol; none where nothing makes its rows."""
    names = [table.name for table in protocol.state]
    if kind == "history":
        names = [*protocol.history][0 if protocol.claims_assets else 1 :]  # no other contract is certain
    made = [name for name in names if protocol.rows is not None or name in SECTIONS]
    return (*made, _EVENTS[protocol.id]) if made and protocol.id in _EVENTS else tuple(made)


def copy_into(conn: psycopg.Connection, protocols: Iterable[Protocol], section: str) -> sql.Composed | None:
    """Return the COPY that stages a section, which is of one of these protocols or of none; None: see `copy`."""
    for protocol in protocols:
        certain, other = protocol.history
        if section == certain:
            return None
        if protocol.rows is not None and section == other:
            return staging.copy_into(conn, section, staging.changes(section))
        for table in protocol.state:
            if protocol.rows is not None and section == table.name:
                return staging.copy_into(conn, section, state.create_staged(table))
    return staging.copy_into(conn, section)


def copy(conn: psycopg.Connection, protocol: Protocol, chunk: ReadyChunk) -> int:
    """Copy what is certain of the history of a protocol from a chunk's file, and return how many rows these are.

    That asks nobody: it may be done ahead of the chunk's turn where its rows are wanted for sure, or after the swap.
    """
    certain, _ = protocol.history
    return sum(state_changes.copy(conn, each, chunk) for each in chunk.done.sections if each.table == certain)


def append(conn: psycopg.Connection, protocol: Protocol, staged: Collection[str], segment: Segment) -> int:
    """Append what is `staged` of the history of a protocol and counts, and return how many rows these are."""
    _, section = protocol.history
    if section not in staged:
        return 0
    _sift(conn, protocol, section)
    return state_changes.append(conn, section, segment, made=protocol.rows is not None)


def fold(conn: psycopg.Connection, protocol: Protocol, staged: Collection[str]) -> dict[str, int]:
    """Merge what is `staged` of the state of a protocol, and return how many rows were written, by table."""
    tables = [table for table in protocol.state if table.name in staged]
    if not tables:
        return {}
    for table in tables:
        _sift(conn, protocol, table.name)
    with state.merging(conn):
        return {table.name: (_merge if table.name in _UNLIKE else state.merge)(conn, table) for table in tables}


def _merge(conn: psycopg.Connection, table: StateTable) -> int:
    """Merge rows that a worker has folded as far as it could: nearly all of them are alone with their key."""
    names = {"staged": staging.table(table.name)}
    alone, others = (
        queries.template(_SQL[table.name], {**names, "alone": sql.Literal(alone)}) for alone in (True, False)
    )
    written = state.merge(conn, table, alone, folded=True)
    if conn.execute(queries.template(_SQL["repeated"], names)).fetchone() == (True,):
        written += state.merge(conn, table, others)
    return written


def left_alone(conn: psycopg.Connection, protocol: Protocol, staged: Collection[str]) -> int:
    """Return how many events were emitted that would be of a protocol, had their contract been; of a plug-in none."""
    section = _EVENTS.get(protocol.id, "")
    if section not in staged:
        return 0
    return sum(events for (events,) in _sift(conn, protocol, section, sql.SQL("RETURNING s.events")))


def _sift(
    conn: psycopg.Connection, protocol: Protocol, section: str, returning: sql.Composable = _NOTHING
) -> psycopg.Cursor:
    names = {"staged": staging.table(section), "returning": returning}
    return conn.execute(queries.template(_SQL["sift"], names), {"protocol_id": protocol.id})

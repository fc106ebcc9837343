"""Rows of tokens: staged as a worker makes them, sifted by what their contracts are, merged into history or state."""

from __future__ import annotations

from collections.abc import Collection

import psycopg

from pipeline.segments import Segment
from pipeline.store import queries, staging, state, state_changes
from pipeline.store.cursors import Kind
from workers.protocols import Protocol

_SQL = queries.load("tokens")
_SECTIONS: dict[tuple[str, Kind], tuple[str, ...]] = {  # that workers can make
    ("SEP41", "history"): ("sep41_state_changes",),
    ("SEP41", "current_state"): ("sep41_balances", "sep41_allowances"),
    ("SEP50", "history"): ("sep50_state_changes",),
    ("SEP50", "current_state"): ("sep50_tokens",),
}


def sections(protocol: Protocol, kind: Kind) -> tuple[str, ...]:
    """Return the sections that a worker makes of a protocol; none for one that is a plug-in alone."""
    return _SECTIONS.get((protocol.id, kind), ())


def append(
    conn: psycopg.Connection, protocol: Protocol, staged: Collection[str], segment: Segment, *, certain: bool
) -> int:
    """Append what is `staged` of the history of a protocol and `certain` or not, and return how many rows these are.

    What is certain asks nobody, and may come before what is known of contracts.
    """
    appended = 0
    for section in sections(protocol, "history"):
        if section in staged:
            if not certain:
                _sift(conn, protocol, section)
            appended += state_changes.append(conn, section, segment, certain=certain)
    return appended


def fold(conn: psycopg.Connection, protocol: Protocol, staged: Collection[str]) -> dict[str, int]:
    """Merge what is `staged` of the state of a protocol, and return how many rows were written, by table."""
    written = {}
    for table in protocol.state:
        if table.name in staged:
            _sift(conn, protocol, table.name)
            source = queries.template(_SQL[table.name], {"staged": staging.table(table.name)})
            written[table.name] = state.merge(conn, table, source)
    return written


def _sift(conn: psycopg.Connection, protocol: Protocol, section: str) -> None:
    conn.execute(queries.template(_SQL["sift"], {"staged": staging.table(section)}), {"protocol_id": protocol.id})

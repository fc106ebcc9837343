"""Retention: only the newest ledgers are kept. What falls out leaves the books first, then its rows are removed.

Nothing is lost where that is cut short: rows below the books are removed by whoever looks next.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg
from psycopg import sql

from pipeline.segments import Segment
from pipeline.store import queries, segments, state_changes
from pipeline.store.segments import part
from workers.messages import TABLES

logger = logging.getLogger(__name__)
_SQL = queries.load("retention")
_KEYS = {"ledgers": "sequence", "transactions": "id", "operations": "id", "events": "operation_id"}
_EVERY = {**_KEYS, state_changes.TABLE: "operation_id"}
_LOCK_S = 2  # that a table to be dropped is waited for: who commits would wait behind


def trim(conn: psycopg.Connection, first: int) -> None:
    """Keep nothing below ledger `first`, which the store has. `conn` is in autocommit.

    Whole segments go with their tables; one whose tables are in use is left for the next time.
    """
    with conn.transaction():
        conn.execute(_SQL["history_cursors"])
        conn.execute(_SQL["forget"], {"first": first})
        conn.execute(_SQL["shorten"], {"first": first})
    _clear(conn, first)
    for query, tables in (("below", TABLES), ("history_below", (state_changes.TABLE,))):
        for (below,) in conn.execute(_SQL[query], {"first": first}).fetchall():
            _drop(conn, Segment(below), tables)


def _clear(conn: psycopg.Connection, first: int) -> None:
    """Remove the rows below `first` of its own segment."""
    segment = Segment.of(first)
    names = {part(table, segment): table for table in _EVERY}
    for (name,) in conn.execute(_SQL["parts"], {"parts": list(names)}).fetchall():
        bound = first << (0 if names[name] == "ledgers" else 32)
        given = {"part": sql.Identifier(name), "key": sql.Identifier(_EVERY[names[name]]), "bound": sql.Literal(bound)}
        conn.execute(queries.template(_SQL["clear"], given))


def _drop(conn: psycopg.Connection, segment: Segment, tables: Sequence[str]) -> None:
    try:
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", [f"{_LOCK_S}s"])
            segments.lock(conn)
            for table in tables:
                conn.execute(queries.template(_SQL["drop"], {"part": sql.Identifier(part(table, segment))}))
            conn.execute(_SQL["unregister" if tables is TABLES else "unregister_history"], {"first": segment.first})
    except psycopg.errors.LockNotAvailable:
        logger.info("tables of ledgers %s are in use: they are dropped later", segment.ledgers)

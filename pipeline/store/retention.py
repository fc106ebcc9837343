"""Retention: only the newest ledgers are kept. What falls out leaves the books and the tables in one transaction.

So at every instant the rows are those of the stretches; where it is cut short, whoever looks next goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql

from pipeline.segments import Segment
from pipeline.store import below, queries, segments, state_changes, stretches
from pipeline.store.segments import part
from workers.messages import TABLES

logger = logging.getLogger(__name__)
_SQL = queries.load("retention")
_KEYS = {"ledgers": "sequence", "transactions": "id", "operations": "id", "events": "operation_id"}
_KEYS |= {state_changes.TABLE: "operation_id"}
_LOCK_S = 2  # that a table to be dropped is waited for: who commits would wait behind
_STEP = 1000  # ledgers whose rows go in one transaction: who commits may wait for it


def trim(conn: psycopg.Connection, first: int) -> None:
    """Keep nothing below ledger `first`. `conn` is in autocommit.

    Whole segments go with their tables; where these are in use, what is left is left for the next time.
    """
    try:
        for segment in _below(conn, "below", first):
            if segment.past - stretches.oldest(conn) > _STEP:  # less is removed below, where no reader notices
                with _dropping(conn, segment, TABLES):
                    _forget(conn, segment.past)
        oldest = stretches.oldest(conn)
        for query, tables in (("below", TABLES), ("history_below", (state_changes.TABLE,))):
            for segment in _below(conn, query, min(oldest, first)):  # emptied the last time: readers may be old
                with _dropping(conn, segment, tables):
                    pass
        for cut in (*range(oldest + _STEP, first, _STEP), *([first] if oldest < first else [])):
            with conn.transaction():
                _clear(conn, cut, TABLES)
                _forget(conn, cut)
                _clear(conn, cut, (state_changes.TABLE,))
    except psycopg.errors.LockNotAvailable:
        logger.info("tables of ledgers below %s are in use: they are dropped later", first)


def _below(conn: psycopg.Connection, query: str, first: int) -> list[Segment]:
    return [Segment(below) for (below,) in conn.execute(_SQL[query], {"first": first}).fetchall()]


def _forget(conn: psycopg.Connection, first: int) -> None:
    """Take what lies below `first` out of the books; who commits history meanwhile does so before this or after it."""
    conn.execute(_SQL["cut"], {"first": first})
    conn.execute(_SQL["history_cursors"])
    below.keep(conn, first)
    conn.execute(_SQL["forget"], {"first": first})
    conn.execute(_SQL["shorten"], {"first": first})


def _clear(conn: psycopg.Connection, first: int, tables: Sequence[str]) -> None:
    """Remove the rows below `first` of its own segment, and of the one before where that has few."""
    there = (Segment.of(first), Segment.of(max(1, first - _STEP)))
    names = {part(table, segment): table for table in tables for segment in there}
    for (name,) in conn.execute(_SQL["parts"], {"parts": list(names)}).fetchall():
        bound = first << (0 if names[name] == "ledgers" else 32)
        given = {"part": sql.Identifier(name), "key": sql.Identifier(_KEYS[names[name]]), "bound": sql.Literal(bound)}
        conn.execute(queries.template(_SQL["clear"], given))


@contextmanager
def _dropping(conn: psycopg.Connection, segment: Segment, tables: Sequence[str]) -> Iterator[None]:
    """Drop tables of a segment, and what is done besides, in one transaction."""
    with conn.transaction():
        conn.execute("SELECT set_config('lock_timeout', %s, true)", [f"{_LOCK_S}s"])
        segments.lock(conn)
        for table in tables:
            conn.execute(queries.template(_SQL["drop"], {"part": sql.Identifier(part(table, segment))}))
        conn.execute(_SQL["unregister" if tables is TABLES else "unregister_history"], {"first": segment.first})
        yield

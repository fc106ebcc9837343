"""What lies below histories: ledgers that came after the migration had begun are filled in as a part of their own.

A part has a cursor of its own, which live ingestion never touches. Where that arrives right below the history, this
begins with the part from then on, and the cursor is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from pipeline.plan import missing
from pipeline.store import cursors, queries, stretches
from pipeline.store.books import Run
from workers.messages import LedgerRange

_SQL = queries.load("below")


@dataclass(frozen=True, slots=True)
class Below:
    """Ledgers of the store that lie right below a history, down to the first of their stretch."""

    ledgers: LedgerRange
    previous_hash: bytes  # that the first of them names
    part: bool  # whether a part is under way
    done: LedgerRange | None  # what is in of it

    @property
    def lacks(self) -> tuple[LedgerRange, ...]:
        """What is not in, ascending."""
        return missing(self.ledgers, [self.done] if self.done else [])


def found(conn: psycopg.Connection, protocol_ids: Iterable[str]) -> dict[str, Below]:
    """Return what lies below the histories of some protocols; those with nothing there are not among them."""
    rows = conn.execute(_SQL["found"], {"ids": list(protocol_ids)}).fetchall()
    return {each: _below(*standing) for each, *standing in rows}


def _below(oldest: int, previous_hash: bytes, history_from: int, first: int | None, reached: int | None) -> Below:
    done = None
    if first is not None and reached is not None and max(first, oldest) <= reached:
        done = LedgerRange(max(first, oldest), reached)
    return Below(LedgerRange(oldest, history_from - 1), previous_hash, None not in (first, reached), done)


def begin(conn: psycopg.Connection, protocol_ids: Iterable[str], run: Run) -> None:
    """Begin a part of each protocol that has ledgers below its history, and none under way."""
    for each, below in found(conn, protocol_ids).items():
        if below.part:
            continue
        first, past = below.ledgers.first, below.ledgers.last + 1
        with conn.transaction():
            conn.execute(_SQL["forget"], {"id": each})
            cursors.make(conn, cursors.key(each, "history_below"), first - 1, below.previous_hash, run)
            cursors.make(conn, f"protocol_{each}_history_below_from", first, None, run)
            conn.execute(_SQL["clear"], {"id": each, "first": first, "past": past})


def keep(conn: psycopg.Connection, first: int, protocol_ids: Sequence[str] | None = None) -> None:
    """Have histories and parts begin with ledger `first` at the lowest, those of all protocols unless some are named.

    In the transaction of who has their cursors.
    """
    conn.execute(_SQL["keep"], {"first": first, "ids": None if protocol_ids is None else list(protocol_ids)})


def catch_up(conn: psycopg.Connection, protocol_id: str, run: Run) -> None:
    """Bring the cursors of a history and its part up to what is kept; a part of which nothing is kept is over.

    One protocol a transaction: who takes cursors of several in order waits for one that waits for nobody behind him.
    """
    names = {"id": protocol_id, "job": run.job, "run_id": run.id}
    with conn.transaction():
        cursors.take(conn, [cursors.key(protocol_id, each) for each in ("history", "history_below")])
        keep(conn, stretches.oldest(conn), [protocol_id])
        conn.execute(_SQL["jump"], names)
        conn.execute(_SQL["leave"], names)


def join(conn: psycopg.Connection, protocol_ids: Iterable[str]) -> None:
    """Have histories begin with those of their parts that have come up to them; in the transaction that moved these."""
    conn.execute(_SQL["join"], {"ids": list(protocol_ids)})

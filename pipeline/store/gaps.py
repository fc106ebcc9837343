"""Gaps by looking: which ledgers have no row, whatever the books say, and how the books are told so."""

from __future__ import annotations

import psycopg

from pipeline.errors import BackfillError
from pipeline.store import queries
from workers.messages import MAX_LEDGER, LedgerRange

_SQL = queries.load("gaps")
_EVERY = LedgerRange(1, MAX_LEDGER)


def booked(conn: psycopg.Connection) -> LedgerRange | None:
    """Return the ledgers from the lowest to the highest of the books; None where they have none."""
    return _range(conn.execute(_SQL["booked"]).fetchone() or (None, None))


def seen(conn: psycopg.Connection, ledgers: LedgerRange = _EVERY) -> LedgerRange | None:
    """Return the ledgers from the lowest to the highest with a row; None where there is none."""
    ends = (conn.execute(_SQL[end], _bounds(ledgers)).fetchone() or (None,) for end in ("lowest", "highest"))
    return _range(tuple(value for (value,) in ends))


def holes(conn: psycopg.Connection, ledgers: LedgerRange) -> tuple[LedgerRange, ...]:
    """Return the parts of a range that have no row in `ledgers`, ascending."""
    if conn.execute(_SQL["count"], _bounds(ledgers)).fetchone() == (len(ledgers),):
        return ()  # the sequence is a key: none is counted twice
    rows = seen(conn, ledgers)
    if rows is None:
        return (ledgers,)
    below = (LedgerRange(ledgers.first, rows.first - 1),) if rows.first > ledgers.first else ()
    return below + tuple(LedgerRange(*ends) for ends in conn.execute(_SQL["holes"], _bounds(ledgers)))


def take_out(conn: psycopg.Connection, ledgers: LedgerRange) -> list[LedgerRange]:
    """Take those of `ledgers` that have no row out of the stretches, and delete what other tables have of them.

    Returns them. Within a transaction, with the lock of a run: from its end on they are gaps like any other.
    """
    taken = []
    for hole in holes(conn, ledgers):
        for first, last in conn.execute(_SQL["stretches"], _bounds(hole)).fetchall():
            stretch = LedgerRange(first, last)
            if part := stretch.overlap(hole):
                _cut(conn, stretch, part)
                taken.append(part)
    return taken


def _cut(conn: psycopg.Connection, stretch: LedgerRange, part: LedgerRange) -> None:
    left = (stretch.first < part.first) + (stretch.last > part.last)
    if conn.execute(_SQL["cut"], _bounds(part) | {"stretch": stretch.first}).rowcount != left:
        raise BackfillError(f"cannot take ledgers {part} out of the books: the rows beside them are gone as well")
    for query in ("clear_transactions", "clear_operations", "clear_events", "thaw"):
        conn.execute(_SQL[query], _bounds(part))


def _bounds(ledgers: LedgerRange) -> dict[str, int]:
    return {"first": ledgers.first, "last": ledgers.last}


def _range(ends: tuple[int | None, ...]) -> LedgerRange | None:
    first, last = ends
    return None if first is None or last is None else LedgerRange(first, last)

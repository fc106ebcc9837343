"""Stretches: which ledgers the store holds, and which of a range it lacks. The committer alone changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from pipeline.plan import Gap, missing
from pipeline.store import queries
from workers.messages import LedgerRange

_SQL = queries.load("stretches")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Ledgers without a gap between them; two stretches never touch."""

    ledgers: LedgerRange
    previous_hash: bytes  # that the first ledger names: the seam below
    first_hash: bytes
    last_hash: bytes  # the seam above
    job: str  # of the run that wrote last
    run_id: int
    updated_at: datetime


def held(conn: psycopg.Connection, ledgers: LedgerRange | None = None) -> list[Stretch]:
    """Return the whole stretches that overlap `ledgers` (all of them without it), in ascending order."""
    if ledgers is None:
        return [_stretch(row) for row in conn.execute(_SQL["all"])]
    return [stretch for stretch in _near(conn, ledgers) if stretch.ledgers.overlap(ledgers)]


def gaps(conn: psycopg.Connection, ledgers: LedgerRange) -> tuple[Gap, ...]:
    """Return the parts of `ledgers` that are not here, ascending, each with the hashes at its seams."""
    near = _near(conn, ledgers)
    below = {stretch.ledgers.last + 1: stretch.last_hash for stretch in near}
    above = {stretch.ledgers.first - 1: stretch.previous_hash for stretch in near}
    return tuple(
        Gap(ledgers=part, below=below.get(part.first), above=above.get(part.last))
        for part in missing(ledgers, [stretch.ledgers for stretch in near])
    )


def hashes(conn: psycopg.Connection, ledgers: Sequence[int]) -> dict[int, bytes]:
    """Return the hashes of those of `ledgers` that are here, by sequence."""
    if not ledgers:  # to find nothing would take a look at every segment
        return {}
    return dict(conn.execute(_SQL["hashes"], {"ledgers": list(ledgers)}).fetchall())


def oldest(conn: psycopg.Connection) -> int:
    """Return the lowest ledger that is here; 0 where there is none."""
    return int((conn.execute(_SQL["oldest"]).fetchone() or (0,))[0])


def _near(conn: psycopg.Connection, ledgers: LedgerRange) -> list[Stretch]:
    return [_stretch(row) for row in conn.execute(_SQL["near"], {"first": ledgers.first, "last": ledgers.last})]


def _stretch(row: TupleRow) -> Stretch:
    first, last, *rest = row
    return Stretch(LedgerRange(first, last), *rest)

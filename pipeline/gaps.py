"""What `gaps` finds: ledgers that the store lacks, by its books and by looking, and where the two disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg

from pipeline.config import GapsSettings
from pipeline.errors import Refused
from pipeline.plan import missing
from pipeline.store import gaps, stretches
from pipeline.store.connection import permitted
from pipeline.store.database import Database
from pipeline.store.moment import one_moment
from workers.messages import LedgerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """What a store lacks of a range; each in ascending order, and no two parts touch."""

    wanted: LedgerRange | None  # None: the store holds no ledger, and no range was given
    missing: tuple[LedgerRange, ...] = ()  # by the books
    absent: tuple[LedgerRange, ...] = ()  # without a row in `ledgers`, though the books claim them
    unbooked: tuple[LedgerRange, ...] = ()  # with a row in `ledgers` that the books do not claim

    @property
    def to_fill(self) -> tuple[LedgerRange, ...]:
        """What is to be filled: all that is not there."""
        if self.wanted is None:
            return ()
        return missing(self.wanted, missing(self.wanted, (*self.missing, *self.absent)))


@permitted()
def gather(settings: GapsSettings) -> tuple[str, Gaps]:
    """Return the database as people may see it, and its gaps. Raises `Refused` where there is no store."""
    database = Database(settings)
    with closing(database.read()) as conn:
        return database.shown, find(
            conn, first=settings.start_ledger, last=settings.end_ledger, looking=not settings.books_only
        )


def find(conn: psycopg.Connection, *, first: int | None, last: int | None, looking: bool = True) -> Gaps:
    """Return the gaps from `first` to `last` (None: the lowest and the highest ledger of the store), as of one moment.

    Raises `Refused` for an end that lies beyond the store's other end.
    """
    with one_moment(conn):
        wanted = _wanted(conn, first, last, looking=looking)
        if wanted is None:
            return Gaps(wanted=None)
        held = [stretch.ledgers for stretch in stretches.held(conn, wanted)]
        lacking = missing(wanted, held)
        if not looking:
            return Gaps(wanted=wanted, missing=lacking)
        holes = gaps.holes(conn, wanted)
        return Gaps(
            wanted=wanted,
            missing=lacking,
            absent=tuple(_both(holes, held)),
            unbooked=tuple(_both(lacking, missing(wanted, holes))),
        )


def _wanted(conn: psycopg.Connection, first: int | None, last: int | None, *, looking: bool) -> LedgerRange | None:
    if first is not None and last is not None:
        return LedgerRange(first, last)
    found = [ends for ends in (gaps.booked(conn), gaps.seen(conn) if looking else None) if ends]
    if not found:
        return None
    lowest, highest = min(ends.first for ends in found), max(ends.last for ends in found)
    if first is not None and first > highest:
        raise Refused(f"--start-ledger {first} is above the highest ledger of the store, {highest}")
    if last is not None and last < lowest:
        raise Refused(f"--end-ledger {last} is below the lowest ledger of the store, {lowest}")
    return LedgerRange(lowest if first is None else first, highest if last is None else last)


def _both(some: Sequence[LedgerRange], others: Sequence[LedgerRange]) -> Iterator[LedgerRange]:
    """Iterate over what is in both; each ascends."""
    at, other_at = 0, 0
    while at < len(some) and other_at < len(others):
        if part := some[at].overlap(others[other_at]):
            yield part
        if some[at].last < others[other_at].last:
            at += 1
        else:
            other_at += 1

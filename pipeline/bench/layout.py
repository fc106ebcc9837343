"""The tables that rows are copied into by bare clients and whole runs: the product's own, and two to compare with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import psycopg

from pipeline.segments import Segment, segments
from pipeline.store import segments as stored
from pipeline.store import trial
from pipeline.store.connection import open_store
from pipeline.store.finish import Finisher
from workers.messages import LedgerRange


@dataclass(frozen=True, slots=True)
class Layout:
    """How tables are laid out before rows come, what each is called, and what is left to do when all are there."""

    schema: str
    lay: Callable[[psycopg.Connection, LedgerRange], None]  # into an empty store
    part: Callable[[str, int], str]  # of a table, for the rows of a ledger
    finish: Callable[[str, LedgerRange, int], None]  # at a server's URL, over so many connections

    def table(self, name: str, ledger: int) -> str:
        """Return the name that a client copies into."""
        return f'{self.schema}."{self.part(name, ledger)}"'


def _lay_product(conn: psycopg.Connection, ledgers: LedgerRange) -> None:
    stored.ensure(conn, ledgers)


def _part_of_product(table: str, ledger: int) -> str:
    return stored.part(table, Segment.of(ledger))


def finish_product(url: str, ledgers: LedgerRange, connections: int) -> None:
    """Complete the segments of `ledgers` as a run does: build their indexes, freeze and analyse them."""
    with closing(Finisher(lambda limits: open_store(url, limits=limits), connections)) as finisher:
        for segment in segments(ledgers):
            finisher.finish(segment, stored.BASE)


def _nothing(_url: str, _ledgers: LedgerRange, _connections: int) -> None:
    """Leave the tables as they are."""


PRODUCT = Layout("ledgerfill", _lay_product, _part_of_product, finish_product)
PLAIN = Layout("trial", lambda conn, _: trial.make_plain(conn), lambda table, _: table, _nothing)
BEFORE = Layout("trial", lambda conn, _: trial.make_indexed(conn), lambda table, _: table, _nothing)


def lay_before(conn: psycopg.Connection, url: str, ledgers: LedgerRange) -> None:
    """Prepare a store for a whole run as store version 1 was filled: with every index there before the first row.

    The program writes into segments that are complete with all indexes in place, so they are completed while empty.
    """
    _lay_product(conn, ledgers)
    finish_product(url, ledgers, 1)

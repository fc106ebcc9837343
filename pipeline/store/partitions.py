"""Partitions: the big tables in pieces of 65,536 ledgers, made before the rows come, in a transaction of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pipeline.plan import PARTITION_LEDGERS
from pipeline.store import queries
from workers.messages import MAX_LEDGER, TABLES, LedgerRange

_SQL = queries.load("partitions")


@dataclass(frozen=True, slots=True)
class Partition:
    """One piece of one table."""

    table: str
    first: int  # ledger, a multiple of PARTITION_LEDGERS

    @property
    def name(self) -> str:
        """Its own name as a table."""
        return f"{self.table}_{self.first}"

    @property
    def bounds(self) -> tuple[sql.Composable, sql.Composable]:
        """Keys from the lower (in it) to the upper (not in it): ledgers or TOIDs; MAXVALUE above the highest ledger."""
        shift = 0 if self.table == "ledgers" else 32
        past = self.first + PARTITION_LEDGERS
        high = sql.SQL("MAXVALUE") if past > MAX_LEDGER else sql.Literal(past << shift)
        return sql.Literal(self.first << shift), high


def partitions(ledgers: LedgerRange) -> Iterator[Partition]:
    """Iterate over the partitions that hold `ledgers`, of all tables."""
    start = ledgers.first // PARTITION_LEDGERS * PARTITION_LEDGERS
    for first in range(start, ledgers.last + 1, PARTITION_LEDGERS):
        for table in TABLES:
            yield Partition(table, first)


def room(ledgers: LedgerRange) -> LedgerRange:
    """Return all ledgers that the partitions of `ledgers` hold."""
    first = ledgers.first // PARTITION_LEDGERS * PARTITION_LEDGERS
    past = (ledgers.last // PARTITION_LEDGERS + 1) * PARTITION_LEDGERS
    return LedgerRange(max(first, 1), min(past - 1, MAX_LEDGER))


def ensure(conn: psycopg.Connection, ledgers: LedgerRange) -> list[str]:
    """Make the partitions that `ledgers` lack and return their names; one short query where all are there."""
    wanted = {partition.name: partition for partition in partitions(ledgers)}
    made = _absent(conn, list(wanted))
    for name in made:
        # A transaction each: the locks of a long range's partitions would not fit into one.
        with conn.transaction():
            conn.execute(_SQL["lock"])
            if _absent(conn, [name]):  # asked again: another maker may have been first
                _make(conn, wanted[name])
    return made


def _absent(conn: psycopg.Connection, names: list[str]) -> list[str]:
    return [name for (name,) in conn.execute(_SQL["absent"], {"names": names})]


def _make(conn: psycopg.Connection, partition: Partition) -> None:
    low, high = partition.bounds
    names = {"table": sql.Identifier(partition.table), "part": sql.Identifier(partition.name), "low": low, "high": high}
    for query in ("make", "attach"):
        conn.execute(queries.template(_SQL[query], names))

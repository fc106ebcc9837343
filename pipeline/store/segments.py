"""Segments in the store: made before their rows come, filled without costly indexes, which are built when complete.

Where rows may still come they are built beside who writes, which takes longer and stops nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pipeline.segments import Segment, segments
from pipeline.store import locks, queries
from workers.messages import MAX_LEDGER, TABLES, LedgerRange

_SQL = queries.load("segments")
SINCE = 2  # store version; before, every index was there all the time


@dataclass(frozen=True, slots=True)
class Index:
    """A costly index of one table: it belongs to a segment, not to the whole table, which would give it at once."""

    table: str
    columns: tuple[str, ...]
    name: str  # behind that of the segment's table
    unique: bool = False

    def build(self, conn: psycopg.Connection, segment: Segment, *, beside: bool = False, helpers: int = 0) -> None:
        """Build it, or do nothing where it is there; not within a transaction, and one at a time `beside` writers.

        `helpers`: processes of the server that may help this connection's.
        """
        conn.execute(_SQL["sort_memory"], {"part": part(self.table, segment), "helpers": helpers})
        name = f"{part(self.table, segment)}_{self.name}"
        words = ["UNIQUE"] * self.unique + ["INDEX"] + ["CONCURRENTLY"] * beside
        names = {
            "kind": sql.SQL(" ").join(map(sql.SQL, words)),
            "index": sql.Identifier(name),
            "part": sql.Identifier(part(self.table, segment)),
            "columns": sql.SQL(", ").join(map(sql.Identifier, self.columns)),
        }
        if conn.execute(_SQL["invalid"], {"index": name}).fetchone():
            conn.execute(queries.template(_SQL["discard"], names))
        conn.execute(queries.template(_SQL["build"], names))


@dataclass(frozen=True, slots=True)
class Completing:
    """What is completed of a segment at once, and where that is written down."""

    what: str  # as messages have it
    tables: tuple[str, ...]
    indexes: tuple[Index, ...]  # the longest first: what is left at the end is then shared out evenly
    writers: tuple[str, ...]  # how the locks of those begin who may write into it
    find_due: bytes  # the query that finds those to be completed
    note: bytes  # the one that notes that it is

    def due(self, conn: psycopg.Connection) -> list[Segment]:
        """Return the segments that wait to be completed, ascending."""
        return [Segment(first) for (first,) in conn.execute(self.find_due)]

    def beside(self, conn: psycopg.Connection, segment: Segment) -> None:
        """Freeze, analyse and index a segment, and write that down, unless somebody has done it; it stops nobody.

        Not within a transaction. What was killed is taken up again.
        """
        with _alone(conn, segment, self.what):
            if segment not in self.due(conn):
                return
            try:
                full = is_full(conn, segment)
                for table in self.tables:
                    settle(conn, segment, table)
                for index in self.indexes:
                    index.build(conn, segment, beside=True)
                self.complete(conn, segment, full=full)
            except psycopg.errors.UndefinedTable:
                if segment in self.due(conn):
                    raise
                # It has fallen out of what live ingestion keeps.

    def complete(self, conn: psycopg.Connection, segment: Segment, *, full: bool) -> None:
        """Write down that its indexes are there, and that it was frozen when it was `full`."""
        with conn.transaction():
            for table in self.tables:
                tend(conn, segment, table)
            conn.execute(self.note, {"first": segment.first, "full": full})


BASE = Completing(
    "the segment",
    TABLES,
    (
        Index("events", ("contract_id", "operation_id"), "contract_id_operation_id_idx"),
        Index("transactions", ("hash",), "hash_idx"),
        Index("operations", ("id",), "pkey", unique=True),
        Index("events", ("operation_id", "event_index"), "pkey", unique=True),
        Index("transactions", ("id",), "pkey", unique=True),
    ),
    (locks.BASE_TABLES, locks.LIVE_INGESTION),
    find_due=_SQL["due"],
    note=_SQL["complete"],
)


def part(table: str, segment: Segment) -> str:
    """Return the name of the table that holds a segment of `table`."""
    return f"{table}_{segment.first}"


def bounds(table: str, segment: Segment) -> tuple[sql.Composable, sql.Composable]:
    """Return its keys from the lower (in it) to the upper (not in it): ledgers or TOIDs; MAXVALUE above them all."""
    shift = 0 if table == "ledgers" else 32
    high = sql.SQL("MAXVALUE") if segment.past > MAX_LEDGER else sql.Literal(segment.past << shift)
    return sql.Literal(segment.first << shift), high


def ensure(conn: psycopg.Connection, ledgers: LedgerRange) -> list[Segment]:
    """Make the segments that `ledgers` lack and return them; one short query where all are there."""
    made = []
    for segment in _absent(conn, list(segments(ledgers))):
        # A transaction each: the locks of a long range's tables would not fit into one.
        with conn.transaction():
            lock(conn)
            if _absent(conn, [segment]):  # asked again: another maker may have been first
                _make(conn, segment)
                made.append(segment)
    return made


def lock(conn: psycopg.Connection) -> None:
    """Be the one who makes tables, for the length of the transaction."""
    conn.execute(_SQL["lock"])


def make(conn: psycopg.Connection, segment: Segment, table: str) -> None:
    """Make one of its tables, set for being filled; the caller has the lock."""
    low, high = bounds(table, segment)
    names = {"table": sql.Identifier(table), "part": sql.Identifier(part(table, segment)), "low": low, "high": high}
    for query in ("make", "attach"):
        conn.execute(queries.template(_SQL[query], names))


def due(conn: psycopg.Connection) -> list[Segment]:
    """Return the segments whose base tables wait to be completed, ascending."""
    return BASE.due(conn)


def unindexed(conn: psycopg.Connection) -> list[Segment]:
    """Return the segments that lack indexes, ascending: who reads them reads whole tables."""
    return [Segment(first) for (first,) in conn.execute(_SQL["unindexed"])]


def settle(conn: psycopg.Connection, segment: Segment, table: str) -> None:
    """Freeze and analyse one of its tables; not within a transaction."""
    conn.execute(queries.template(_SQL["settle"], {"part": sql.Identifier(part(table, segment))}))


def tend(conn: psycopg.Connection, segment: Segment, table: str) -> None:
    """Leave one of its tables to the server's own settings again."""
    conn.execute(queries.template(_SQL["tend"], {"part": sql.Identifier(part(table, segment))}))


def is_full(conn: psycopg.Connection, segment: Segment) -> bool:
    """Return whether every one of its ledgers is there."""
    row = conn.execute(_SQL["full"], {"first": segment.first}).fetchone()
    return bool(row and row[0])


@contextmanager
def _alone(conn: psycopg.Connection, segment: Segment, what: str) -> Iterator[None]:
    """Be the one who completes `what` of a segment beside those who write into it; not within a transaction.

    Whoever else is at it is waited for, and whoever is writing, as long as it takes.
    """
    names = {"what": what, "first": segment.first}
    conn.execute(_SQL["no_limit"])
    while conn.execute(_SQL["try_alone"], names).fetchone() != (True,):
        conn.execute(_SQL["wait"])
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute(_SQL["release"], names)
            conn.execute(_SQL["limit"])


def _absent(conn: psycopg.Connection, wanted: list[Segment]) -> list[Segment]:
    firsts = [segment.first for segment in wanted]
    return [Segment(first) for (first,) in conn.execute(_SQL["absent"], {"firsts": firsts})]


def _make(conn: psycopg.Connection, segment: Segment) -> None:
    for table in TABLES:
        make(conn, segment, table)
    conn.execute(_SQL["register"], {"first": segment.first})
